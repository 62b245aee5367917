import { createHash } from 'node:crypto'

/** What the browser shows at the end of a sign-in. */
export interface CallbackPage {
  status: number
  title: string
  /** What to do next. Plain text: it is escaped, since part of it may come from the address. */
  text: string
}

/** The page as HTML, with nothing to load and nothing to run. */
export function renderCallbackPage({ title, text }: CallbackPage): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)} · codexbox</title>
<style>${STYLE}</style>
<main>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(text)}</p>
</main>
</html>
`
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1c1f23; --paper: #f6f7f8; --card: #fff; --line: #dfe3e8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --paper: #15171a; --card: #1e2125; --line: #33383e }
}
body { margin: 0; min-height: 100vh; display: grid; place-items: center; color: var(--ink);
  background: var(--paper); font: 1rem/1.5 system-ui, sans-serif }
main { max-width: 30rem; margin: 1rem; padding: 2rem; background: var(--card);
  border: 1px solid var(--line); border-radius: .75rem }
h1 { margin: 0 0 .5rem; font-size: 1.25rem }
p { margin: 0; overflow-wrap: anywhere }
`

const styleHash = createHash('sha256').update(STYLE).digest('base64')

/** For every answer of the callback server: its addresses hold a code that nobody else may see. */
export const CALLBACK_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'content-security-policy':
    `default-src 'none'; style-src 'sha256-${styleHash}'; ` +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  connection: 'close',
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
