/** Opens an address as a browser would: asks the issuer, and goes where that sends it. */
export async function actAsBrowser(url: string): Promise<void> {
  const answer = await fetch(url, { redirect: 'manual' })
  const address = new URL(answer.headers.get('location') ?? '')
  // The name may lead to either family; not every machine's resolver says the same.
  address.hostname = '127.0.0.1'
  // Nobody waits for a browser: the page comes when the sign-in has ended.
  fetch(address).catch(() => {})
}
