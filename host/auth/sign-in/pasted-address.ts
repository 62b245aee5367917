import { stripVTControlCharacters } from 'node:util'
import {
  type AuthorizationResponse,
  codeAlone,
  readAuthorizationResponse,
} from './authorization-response.ts'

/** The pasted text: a response, an empty line, or an unusable text with advice. */
export type Pasted =
  | AuthorizationResponse
  | { status: 'nothing' }
  | { status: 'unusable'; why: string }

/**
 * Reads the final address of the browser, its query alone, or only the code. An address must carry the
 * state of this sign-in: an attacker's address would sign the user in to another account.
 */
export function readPasted(text: string, signIn: { issuer: URL; state: string }): Pasted {
  // A terminal wraps a paste in escape codes, a chat or a mail in quotes or angle brackets.
  const plain = stripVTControlCharacters(text)
    .replace(/(?!\s)\p{C}/gu, '')
    .trim()
    .replace(/^["'`<]+|["'`>]+$/g, '')
    .trim()
  if (plain === '') return { status: 'nothing' }
  if (/\s/.test(plain))
    return unusable('It has a space or a line break inside. Paste it in one piece.')

  const query = queryOf(plain)
  if (!query) {
    return CODE.test(plain)
      ? { status: 'code', params: codeAlone(plain, signIn.issuer) }
      : unusable('That is neither an address with a code nor a code.')
  }
  if (query.has('response_type')) {
    return unusable('That is the address to sign in at. Paste the one where the browser ends.')
  }
  const answer = readAuthorizationResponse(query, signIn)
  if (answer.status === 'other-state') {
    return unusable(
      'That is the address of another sign-in, or not all of it: its state is not ours.',
    )
  }
  if (answer.status === 'no-code') return unusable('There is no code in that address.')
  return answer
}

/** The unreserved characters of RFC 3986. A word typed by mistake is shorter. */
const CODE = /^[\w.~-]{8,4096}$/

function queryOf(text: string): URLSearchParams | undefined {
  const at = text.indexOf('?')
  const query = at >= 0 ? text.slice(at + 1) : text
  if (at < 0 && !/^(code|state|error|scope)=/.test(text)) return undefined
  return new URLSearchParams(query.replace(/#.*$/, ''))
}

const unusable = (why: string): Pasted => ({ status: 'unusable', why })
