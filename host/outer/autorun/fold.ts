/** The key by which the platform's file system compares names. */
export function fold(name: string): string {
  return process.platform === 'linux' ? name : name.toLowerCase()
}
