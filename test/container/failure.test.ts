import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  failureOfEvent,
  failureOfResponse,
  failureOfStream,
  runFailureOf,
} from '../../container/agent/model-failure.ts'
import { UPSTREAM_UNREACHABLE } from '../../shared/gateway-errors.ts'
import { RunFailure } from '../../shared/protocol.ts'
import { NOW } from './failure-examples.ts'

function refused(status: number, body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return failureOfResponse({ status, headers, body: text }, NOW)
}

describe('what the user reads', () => {
  test('names the request, for whoever is asked for help', () => {
    const headers = {
      'x-oai-request-id': 'req_2',
      'x-request-id': 'req_1',
      'cf-ray': '8f00-FRA',
      'x-openai-authorization-error': 'no_scope',
    }

    expect(refused(500, { error: { message: 'Broken' } }, headers).message).toBe(
      'The service failed (500): Broken. Try again later.' +
        ' (request req_1, cf-ray 8f00-FRA, authorization error no_scope)',
    )
  })

  test('has the title of a page, and nothing else of it', () => {
    const page = '<!doctype html><title>Gate&way\n down</title><script>alert(1)</script>'

    const { message } = refused(502, page)

    expect(message).toContain('(502): Gate&way down. ')
    expect(message).not.toContain('<')
  })

  test.each([
    ['a web token', 'Bad token eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2ln in header'],
    ['a key', 'Incorrect key sk-proj-c2lnAbCdEf123 given'],
    ['what follows Bearer', 'Header "Authorization: Bearer c2lnc2lnc2ln" is not good'],
  ])('holds no credentials: %s', (_, text) => {
    for (const failure of [
      refused(400, { detail: text }),
      refused(400, text),
      failureOfEvent({ type: 'response.failed', response: { error: { message: text } } }, NOW),
      failureOfStream(new Error(text), false),
    ]) {
      expect(failure.message).toContain('<secret>')
      expect(failure.message).not.toContain('c2ln')
    }
  })

  test('is one line of bounded length, whatever the service says', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(200, 302, 400, 401, 403, 404, 413, 429, 500, 503, 999),
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.constant(`\u0000\u001b[31m<title>${'€\ud83d\n'.repeat(50_000)}`),
          fc.json(),
          fc
            .record({
              code: fc.jsonValue(),
              type: fc.constantFrom('usage_limit_reached', 'x'),
              message: fc.oneof(fc.string({ unit: 'binary' }), fc.constant('$& {said}')),
              plan_type: fc.jsonValue(),
              resets_at: fc.oneof(fc.double(), fc.jsonValue()),
            })
            .map((error) => JSON.stringify({ error })),
        ),
        fc.dictionary(
          fc.constantFrom('retry-after', 'cf-ray', 'x-error-json', 'x-codex-promo-message'),
          fc.oneof(fc.string(), fc.constant('x'.repeat(10_000))),
        ),
        (status, body, headers) => {
          const failure = failureOfResponse({ status, headers, body }, NOW)
          const told = runFailureOf(failure)

          expect(RunFailure.parse(told)).toEqual(told)
          expect(told.message.length).toBeLessThan(2000)
          // Control characters, and halves of characters.
          expect(told.message).not.toMatch(/\p{Cc}|\p{Cs}/u)
        },
      ),
    )
  })

  test('a body that is no text is not shown', () => {
    const compressed = gzipSync('a reason').toString('utf8')

    expect(refused(500, compressed).message).toBe(
      'The service failed (500): no reason given. Try again later.',
    )
  })

  test('a body that is no JSON, or none, is cut at 500 characters', () => {
    expect(refused(400, '').message).toBe('The service refused the request (400): no reason given.')
    expect(refused(400, 'a\n\tb').message).toBe('The service refused the request (400): a b.')
    expect(refused(400, 'x'.repeat(600)).message).toBe(
      `The service refused the request (400): ${'x'.repeat(500)}…`,
    )
  })
})

describe('a usage limit', () => {
  const limit = (fields: Record<string, unknown>, headers: Record<string, string> = {}) =>
    refused(429, { error: { type: 'usage_limit_reached', ...fields } }, headers)

  test('has the time of its end as the body says it', () => {
    const headers = {
      'x-codex-primary-used-percent': '100',
      'x-codex-primary-reset-at': '1795200000',
    }

    expect(limit({ resets_at: 1_795_209_178 }, headers).resetsAt).toBe(1_795_209_178_000)
  })

  test('else from the window that is used up', () => {
    const headers = {
      'x-codex-primary-used-percent': '40',
      'x-codex-primary-reset-at': '1795200000',
      'x-codex-secondary-used-percent': '100',
      'x-codex-secondary-reset-at': '1795709178',
    }

    expect(limit({ plan_type: 'plus' }, headers)).toMatchObject({
      resetsAt: 1_795_709_178_000,
      message: expect.stringContaining('wait for the reset'),
    })
  })

  test.each([-1, 1e300, '1795209178', null])('without an end that can be read (%j)', (end) => {
    const failure = limit({ resets_at: end, resets_in_seconds: 600 })

    expect(failure).not.toHaveProperty('resetsAt')
    expect(failure.message).toBe('The usage limit is reached. To go on, try again later.')
  })
})

describe('the model that was named', () => {
  test.each([
    ["The 'gpt-5.5' model is gone and no longer available.", "model 'gpt-5.5'"],
    ['The model `gpt-5.5` does not exist.', "model 'gpt-5.5'"],
    ['Model not found gpt-7', "model 'gpt-7'"],
    ['The requested model: o3 is not supported', "model 'o3'"],
  ])('%s', (text, named) => {
    expect(refused(404, { detail: text }).message).toContain(named)
  })

  test.each([
    ['The model `gpt-5` has been deprecated. Use `gpt-5.5` instead.', 'gpt-5.5'],
    ['The model gpt-5 was retired and replaced by gpt-5.5.', 'gpt-5.5'],
    ["The 'gpt-5' model is no longer available; please upgrade to gpt-5.6-mini!", 'gpt-5.6-mini'],
    ['The model gpt-5 has been retired, use another', 'another (`codexbox models` lists them)'],
  ])('is replaced by the one the service names: %s', (text, other) => {
    expect(refused(404, { detail: text }).message).toContain(` Choose ${other} with --model.`)
  })
})

describe('the wait', () => {
  test('is in the failure, as a time span and as a point in time', () => {
    expect(refused(503, '', { 'retry-after': '3' })).toMatchObject({
      waitMs: 3000,
      retryAt: NOW + 3000,
      remedy: 'retry',
    })
  })

  test.each([402, 403, 404, 408, 409, 425, 500, 503, 529])(
    'is read with every status (%i)',
    (status) => {
      expect(refused(status, '', { 'retry-after': '1' }).waitMs).toBe(1000)
    },
  )

  test('a time that is too far away for a date is no time', () => {
    const { retryAt } = refused(503, '', { 'retry-after': '9'.repeat(300) })

    expect(new Date(retryAt ?? Number.NaN).getFullYear()).toBeGreaterThan(2100)
  })
})

describe('sealed and direct mode give the same sentence', () => {
  test.each([
    ['ECONNREFUSED', 'connect ECONNREFUSED 192.0.2.1:443'],
    ['ENOTFOUND', 'getaddrinfo ENOTFOUND chatgpt.com'],
    ['ECONNRESET', 'read ECONNRESET'],
    ['EPROTO', 'write EPROTO 00:error:0A00010B:SSL routines'],
    [undefined, 'something new'],
  ])('%s', (code, message) => {
    const error = Object.assign(new Error(message), code ? { code } : {})

    const sealed = refused(502, { error: { code: UPSTREAM_UNREACHABLE, message } })

    expect(sealed).toEqual(failureOfStream(error, false))
  })
})
