/** Opens an address in the user's browser. Rejects when no browser can be started. */
export async function openBrowser(url: string): Promise<void> {
  // Loaded on demand: only a sign-in needs it, and it takes longer to load than the rest of a start.
  const { default: open } = await import('open')
  await open(url)
}
