/** Opens an address as a browser would: asks the issuer, and goes where that sends it. */
export async function actAsBrowser(url: string): Promise<void> {
  const answer = await fetch(url, { redirect: 'manual' })
  const address = answer.headers.get('location') ?? ''
  // Nobody waits for a browser: the page comes when the sign-in has ended.
  fetch(address).catch(() => {})
}
