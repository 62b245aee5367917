import { createHash } from 'node:crypto'

/** The page at the end of a sign-in. Plain text: part of it may come from the address. */
export interface CallbackPage {
  status: number
  title: string
  text: string
  /** The next step for the user. */
  next: string
}

/** The page as HTML, without scripts and external resources. */
export function renderCallbackPage({ status, title, text, next }: CallbackPage): string {
  const isGood = status === 200
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)} · codexbox</title>
<style>${STYLE}</style>
<main class="${isGood ? 'good' : 'bad'}">
<svg viewBox="0 0 48 48" aria-hidden="true">
<circle cx="24" cy="24" r="22"/>
<path d="${isGood ? TICK : BANG}"/>
</svg>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(text)}</p>
<p class="next">${escapeHtml(next)}</p>
</main>
<footer><b>codexbox</b> This page comes from your own machine.</footer>
</html>
`
}

const TICK = 'M15 25l6.5 6.5L34 18.5'
const BANG = 'M24 13v14M24 34.5v.5'

const STYLE = `
:root { color-scheme: light dark; --ink: #1a1d21; --soft: #5b6470; --paper: #f4f5f7; --card: #fff;
  --line: #e1e4e9; --good: #12805c; --good-soft: #e3f4ed; --bad: #b3372b; --bad-soft: #fbe9e7 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #eceef1; --soft: #a2abb6; --paper: #121417; --card: #1b1e22; --line: #30353b;
    --good: #4fd1a1; --good-soft: #163a2e; --bad: #ff8a7a; --bad-soft: #43211d }
}
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; padding: 1.5rem; display: flex; flex-direction: column;
  align-items: center; justify-content: center; gap: 1.25rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.55 system-ui, -apple-system, 'Segoe UI', sans-serif }
main { width: 100%; max-width: 28rem; padding: 2.5rem 2rem 2rem; text-align: center;
  background: var(--card); border: 1px solid var(--line); border-radius: 1rem;
  box-shadow: 0 1px 2px rgb(0 0 0 / .05), 0 12px 32px rgb(0 0 0 / .07) }
svg { width: 3.5rem; height: 3.5rem; fill: none; stroke-width: 3.5; stroke-linecap: round;
  stroke-linejoin: round }
.good { --tone: var(--good); --tone-soft: var(--good-soft) }
.bad { --tone: var(--bad); --tone-soft: var(--bad-soft) }
circle { fill: var(--tone-soft) }
path { stroke: var(--tone) }
h1 { margin: 1rem 0 .5rem; font-size: 1.375rem; line-height: 1.25; letter-spacing: -.01em }
h1, p { text-wrap: balance; overflow-wrap: anywhere }
p { margin: 0; color: var(--soft) }
.next { margin-top: 1.5rem; padding-top: 1.25rem; border-top: 1px solid var(--line);
  color: var(--ink); font-weight: 500 }
footer { color: var(--soft); font-size: .8125rem; text-align: center }
footer b { margin-right: .375rem; color: var(--ink); font-weight: 600 }
`

const styleHash = createHash('sha256').update(STYLE).digest('base64')

/** For every answer of the callback server: the code in its addresses must stay private. */
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
