/** Enough to tell one's own accounts apart, and no address for whoever looks over the shoulder. */
export function maskedEmail(email: string): string {
  const at = email.lastIndexOf('@')
  return at > 0 ? `${email.slice(0, 1)}…${email.slice(at)}` : '…'
}
