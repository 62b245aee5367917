/** What the file system takes for the same name. */
export function fold(name: string): string {
  return process.platform === 'linux' ? name : name.toLowerCase()
}
