/** Lets users tell their own accounts apart without showing the address to a bystander. */
export function maskedEmail(email: string): string {
  const at = email.lastIndexOf('@')
  return at > 0 ? `${email.slice(0, 1)}…${email.slice(at)}` : '…'
}
