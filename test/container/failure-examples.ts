import {
  type FailureFacts,
  factsOfConnection,
  factsOfEvent,
  factsOfResponse,
} from '../../container/agent/failure-facts.ts'
import { CodingError } from '../../shared/decode-body.ts'

/** One thing that went wrong, as it comes in. */
export type Example =
  | { status: number; headers?: Record<string, string>; body?: unknown }
  | { failed: unknown }
  | { errorEvent: Record<string, unknown> }
  | { incomplete: string }
  | { connecting: unknown }
  | { reading: unknown }

/** A moment in 2026. */
export const NOW = 1_795_192_000_000

export function factsOf(example: Example): FailureFacts {
  if ('status' in example) {
    const { status, headers = {}, body = '' } = example
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    return factsOfResponse({ status, headers, body: text }, NOW)
  }
  if ('failed' in example) {
    return factsOfEvent({ type: 'response.failed', response: { error: example.failed } }, NOW)
  }
  if ('errorEvent' in example) return factsOfEvent({ type: 'error', ...example.errorEvent }, NOW)
  if ('incomplete' in example) {
    const incomplete_details = { reason: example.incomplete }
    return factsOfEvent({ type: 'response.incomplete', response: { incomplete_details } }, NOW)
  }
  return 'connecting' in example
    ? factsOfConnection(example.connecting, 'connecting')
    : factsOfConnection(example.reading, 'reading')
}

const error = (fields: Record<string, unknown>) => ({ error: fields })
const detail = (text: string) => ({ detail: text })
const NEWER_CODEX =
  "The 'gpt-5.5' model requires a newer version of Codex. Please upgrade to the latest app or CLI and try again."
const NOT_WITH_CHATGPT =
  "The 'gpt-5.5' model is not supported when using Codex with a ChatGPT account."
const limitOf = (plan_type: string | null, headers: Record<string, string> = {}): Example => ({
  status: 429,
  headers,
  body: error({ type: 'usage_limit_reached', plan_type, resets_at: 1_795_209_178 }),
})
const limitInStream = (plan_type: string): Example => ({
  failed: { code: 'usage_limit_reached', plan_type, resets_at: 1_795_209_178 },
})
const stoppedBy = (type: string) => limitOf('team', { 'x-codex-rate-limit-reached-type': type })
const page = (title: string) => `<!DOCTYPE html><html><head><title>${title}</title></head></html>`
const HTML = { 'content-type': 'text/html; charset=UTF-8' }
const RAY = { ...HTML, 'cf-ray': '8f00-FRA' }
const systemError = (code: string, message = `connect ${code} 192.0.2.1:443`) =>
  Object.assign(new Error(message), { code })
const BROKEN_CODING =
  'the answer is encoded as "gzip", but cannot be decoded: incorrect header check'
const gateway = (message: string): Example => ({
  status: 502,
  body: error({ code: 'upstream_unreachable', message }),
})

/** By the name of the row they belong to. The same trouble in several forms gives one sentence. */
export const examples: Record<string, readonly [Example, ...Example[]]> = {
  'run-may-not': [
    { status: 400, body: error({ code: 'policy_refused', message: 'This run may not ask that.' }) },
  ],
  'run-has-had-enough': [
    { status: 429, body: error({ code: 'budget_spent', message: 'It asked 2200 times.' }) },
  ],
  'workspace-owner-credits': [stoppedBy('workspace_owner_credits_depleted')],
  'workspace-member-credits': [stoppedBy('workspace_member_credits_depleted')],
  'workspace-owner-limit': [stoppedBy('workspace_owner_usage_limit_reached')],
  'workspace-member-limit': [stoppedBy('workspace_member_usage_limit_reached')],
  'limit-of-a-model': [
    limitOf('plus', {
      'x-codex-active-limit': 'codex_large',
      'x-codex-large-limit-name': 'GPT-Large',
    }),
    {
      errorEvent: {
        error: { type: 'usage_limit_reached', plan_type: 'plus', resets_at: 1_795_209_178 },
        status_code: 429,
        headers: {
          'X-Codex-Active-Limit': 'codex_large',
          'X-Codex-Large-Limit-Name': 'GPT-Large',
        },
      },
    },
  ],
  'limit-with-offer': [
    limitOf('plus', { 'x-codex-promo-message': 'Get a month of Pro for free.' }),
  ],
  'limit-free': [limitOf('free'), limitOf('go'), limitInStream('go')],
  'limit-plus': [limitOf('plus'), limitInStream('plus')],
  'limit-pro': [limitOf('pro'), limitOf('prolite'), limitOf('promax'), limitInStream('pro')],
  'limit-team': [
    limitOf('team'),
    limitOf('business'),
    limitOf('self_serve_business_usage_based'),
    limitOf('self_serve_business_prolite'),
    limitOf('enterprise_cbp_usage_based'),
    limitOf('enterprise_cbp_automation'),
    limitOf('ent26'),
    limitOf('sci'),
    limitInStream('team'),
    stoppedBy('rate_limit_reached'),
    stoppedBy('a_type_of_next_year'),
  ],
  limit: [
    limitOf('enterprise'),
    limitOf('edu'),
    limitOf('edu_pro'),
    limitOf('brand_new_plan'),
    limitOf(null),
    { failed: { code: 'usage_limit_reached', message: 'The usage limit has been reached' } },
    { errorEvent: { error: { type: 'usage_limit_reached' } } },
    { errorEvent: { status: 429, error: { type: 'usage_limit_reached' } } },
  ],
  'plan-without-codex': [
    { status: 429, body: error({ type: 'usage_not_included', plan_type: 'free' }) },
    { failed: { code: 'usage_not_included' } },
  ],
  'quota-spent': [
    { status: 429, body: error({ code: 'insufficient_quota', message: 'No quota left.' }) },
    { failed: { code: 'insufficient_quota', message: 'No quota left.' } },
  ],
  'account-deactivated': [
    { status: 402, body: { detail: { code: 'deactivated_workspace' } } },
    { status: 401, body: error({ code: 'account_deactivated', message: 'Deactivated.' }) },
    { failed: { code: 'account_deactivated', message: 'Deactivated.' } },
  ],
  'context-full': [
    { status: 400, body: error({ code: 'context_length_exceeded', message: 'Too long.' }) },
    { status: 413, body: error({ code: 'context_length_exceeded', message: 'Too long.' }) },
    { failed: { code: 'context_length_exceeded', message: 'Too long.' } },
  ],
  'context-full-in-words': [
    {
      status: 400,
      body: error({ message: "This model's maximum context length is 8192 tokens." }),
    },
    { status: 413, body: detail('Your input exceeds the context window of this model.') },
    { failed: { code: null, message: 'Your input exceeds the context window of this model.' } },
  ],
  'reasoning-unreadable': [
    { status: 400, body: error({ code: 'invalid_encrypted_content', message: 'Not ours.' }) },
    { failed: { code: 'invalid_encrypted_content', message: 'Not ours.' } },
  ],
  'reasoning-unreadable-in-words': [
    { status: 400, body: error({ message: 'The encrypted content gAAA could not be verified.' }) },
    { failed: { code: null, message: 'The encrypted content gAAA could not be verified.' } },
    {
      status: 404,
      body: error({ message: "Item with id 'rs_68ab' not found. Items are not persisted." }),
    },
    {
      status: 400,
      body: error({
        message: "Item 'rs_1' of type 'reasoning' was provided without its following item.",
      }),
    },
  ],
  'call-without-output': [
    { status: 400, body: error({ message: 'No tool output found for function call call_1.' }) },
    { status: 400, body: error({ message: 'No tool call found for function call output call_1' }) },
  ],
  'image-unreadable': [
    { status: 400, body: error({ code: 'invalid_image', message: 'No image.' }) },
    { failed: { code: 'image_parse_error', message: 'No image.' } },
    { failed: { code: 'image_too_small', message: 'No image.' } },
  ],
  'image-unreadable-in-words': [
    {
      status: 400,
      body: error({
        message: 'The image data you provided does not represent a valid image',
        type: 'invalid_request_error',
      }),
    },
    {
      failed: {
        message: "Invalid 'input[2].content[1].image_url'. Expected a base64-encoded data URL.",
      },
    },
  ],
  'prompt-refused': [
    { failed: { code: 'invalid_prompt', message: 'The prompt breaks a policy.' } },
    { failed: { code: 'cyber_policy', message: 'The prompt breaks a policy.' } },
    { failed: { code: 'bio_policy', message: 'The prompt breaks a policy.' } },
    { status: 400, body: error({ code: 'cyber_policy', message: 'The prompt breaks a policy.' }) },
  ],
  'effort-in-the-model': [
    { status: 400, body: detail("The 'gpt-5.5-high' model is not supported.") },
    { status: 404, body: error({ message: 'The model `gpt-5.5-xhigh` does not exist' }) },
  ],
  'client-too-old': [
    { status: 400, body: detail(NEWER_CODEX) },
    { failed: { message: NEWER_CODEX } },
    { errorEvent: { status: 400, error: { type: 'invalid_request_error', message: NEWER_CODEX } } },
  ],
  'client-too-old-or-not-for-account': [
    { status: 400, body: detail(NOT_WITH_CHATGPT) },
    { failed: { message: NOT_WITH_CHATGPT } },
  ],
  'client-too-old-or-not-found': [
    {
      status: 404,
      body: error({
        message: 'Model not found gpt-5.6-luna',
        type: 'invalid_request_error',
        param: 'model',
        code: null,
      }),
    },
    { failed: { message: 'Model not found gpt-5.6-luna' } },
  ],
  'model-retired': [
    {
      status: 404,
      body: error({
        code: 'model_not_found',
        message: 'The model `gpt-4.5` has been deprecated, use gpt-5.5 instead.',
      }),
    },
    { failed: { code: 'x', message: "The 'gpt-5' model is no longer available." } },
  ],
  'model-unknown': [
    {
      status: 404,
      body: error({
        code: 'model_not_found',
        message: "The model 'gpt-x' does not exist or you do not have access to it.",
      }),
    },
    { failed: { code: 'model_not_found', message: "The model 'gpt-x' does not exist" } },
  ],
  'model-unknown-in-words': [
    { status: 400, body: detail('Model not found gpt-7') },
    { failed: { message: "The requested model 'gpt-x' does not exist." } },
  ],
  'effort-refused': [
    {
      status: 400,
      body: error({
        code: 'unsupported_value',
        param: 'reasoning.effort',
        message: "Unsupported value: 'xhigh' is not supported with this one.",
      }),
    },
  ],
  'instructions-refused': [{ status: 400, body: detail('Instructions are not valid') }],
  'parameter-refused': [
    { status: 400, body: detail('Unsupported parameter: prompt_cache_retention') },
    { status: 400, body: error({ message: "Unknown parameter: 'include'." }) },
  ],
  'api-key-refused': [
    {
      status: 401,
      body: error({
        code: 'invalid_api_key',
        message: 'Incorrect API key provided: sk-proj-********4nYA.',
      }),
    },
  ],
  'sign-in-refused': [
    {
      status: 401,
      headers: {
        'x-openai-authorization-error': 'missing_authorization_header',
        'x-error-json': Buffer.from('{"error":{"code":"token_expired"}}').toString('base64'),
      },
      body: error({ message: 'Your authentication token has expired.' }),
    },
    { status: 401, body: error({ code: 'upstream_unreachable', message: 'Not signed in.' }) },
    { status: 401 },
  ],
  'capability-refused': [{ status: 403, body: error({ code: 'capability_refused' }) }],
  'region-unsupported': [
    {
      status: 403,
      body: error({
        message: 'Country, region, or territory not supported',
        code: 'unsupported_country_region_territory',
      }),
    },
  ],
  'cloudflare-challenge': [
    {
      status: 403,
      headers: { ...RAY, 'cf-mitigated': 'challenge' },
      body: page('Just a moment...'),
    },
    { status: 503, headers: { ...RAY, 'cf-mitigated': 'challenge' }, body: page('Just a moment') },
  ],
  'cloudflare-block': [
    {
      status: 403,
      headers: RAY,
      body: `${page('Attention Required! | Cloudflare')}<h1>Sorry, you have been blocked</h1>`,
    },
  ],
  'cloudflare-page': [{ status: 403, headers: RAY, body: page('Access denied') }],
  'proxy-sign-in': [{ status: 407, headers: HTML, body: page('Proxy Authentication Required') }],
  portal: [
    { status: 302, headers: { location: 'http://portal.example/login' } },
    { status: 200, headers: HTML, body: page('Welcome to our hotel') },
    { status: 511, headers: HTML, body: page('Network login') },
  ],
  'page-of-somebody-else': [
    { status: 403, headers: HTML, body: page('Blocked by policy') },
    { status: 404, body: '<html><h1>404 Not Found</h1><hr>nginx</html>' },
  ],
  overloaded: [
    {
      status: 503,
      headers: { 'retry-after': '1' },
      body: error({ message: 'Overloaded', code: 'server_is_overloaded' }),
    },
    { status: 503, body: error({ code: 'slow_down' }) },
  ],
  'overloaded-in-stream': [{ failed: { code: 'server_is_overloaded' } }],
  'rate-limit': [
    { status: 429, headers: { 'retry-after': '2' }, body: detail('Slow down.') },
    { status: 429, body: error({ message: 'Please try again in 1.3s.' }) },
  ],
  'rate-limit-without-hint': [
    { status: 429, body: detail('Slow down.') },
    { status: 429, headers: { 'retry-after': '-1' }, body: detail('Slow down.') },
  ],
  'rate-limit-in-stream': [
    { failed: { code: 'rate_limit_exceeded', message: 'Please try again in 1.3s.' } },
    { failed: { code: 'slow_down', message: 'Slow down.' } },
  ],
  'bad-request': [
    { status: 400, body: error({ message: 'Invalid value: x', code: 'invalid_value' }) },
    { status: 400, body: 'no JSON' },
    { status: 400 },
  ],
  'payment-required': [{ status: 402, body: error({ message: 'Pay first.' }) }],
  'too-large': [
    { status: 413, body: error({ code: 'too_large', message: 'A request may have 64 MB.' }) },
  ],
  'legal-block': [{ status: 451, body: error({ message: 'Not here.' }) }],
  'request-refused': [405, 410, 415, 422].map((status) => ({
    status,
    body: detail('Not so.'),
  })) as [Example],
  'refused-for-now': [403, 404, 408, 409, 418, 425].map((status) => ({
    status,
    body: error({ message: 'Not now.' }),
  })) as [Example],
  'page-of-a-failure': [
    { status: 522, headers: RAY, body: page('Connection timed out') },
    { status: 502, headers: HTML, body: page('Bad Gateway') },
  ],
  'service-failed': [
    {
      status: 500,
      headers: { 'x-request-id': 'req_1', 'cf-ray': '8f00-FRA' },
      body: error({ message: 'server error', type: 'server_error' }),
    },
    ...[501, 502, 503, 504, 520, 522, 524, 529].map((status) => ({ status })),
  ],
  'no-status-of-http': [{ status: 0 }, { status: 999 }],
  'answer-too-long': [{ incomplete: 'max_output_tokens' }],
  'answer-filtered': [{ incomplete: 'content_filter' }],
  'answer-incomplete': [{ incomplete: 'a_reason_of_next_year' }, { incomplete: '' }],
  'not-a-response': [
    {
      errorEvent: {
        error: {
          code: 'not_a_response',
          message: 'what came in the place of a stream of events is no response',
        },
      },
    },
  ],
  'answer-failed': [
    { failed: { code: 'server_error', message: 'Something went wrong.' } },
    { failed: { code: null, message: 'Something went wrong.' } },
    { failed: null },
  ],
  'certificate-dates': [
    { connecting: systemError('CERT_HAS_EXPIRED', 'certificate has expired') },
    { connecting: systemError('CERT_NOT_YET_VALID', 'certificate is not yet valid') },
    gateway('certificate has expired'),
  ],
  'certificate-authority': [
    {
      connecting: systemError(
        'SELF_SIGNED_CERT_IN_CHAIN',
        'self-signed certificate in certificate chain',
      ),
    },
    {
      connecting: systemError(
        'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
        'unable to verify the first certificate',
      ),
    },
    gateway('unable to get local issuer certificate'),
  ],
  'certificate-name': [
    {
      connecting: systemError(
        'ERR_TLS_CERT_ALTNAME_INVALID',
        "Hostname/IP does not match certificate's altnames: Host: chatgpt.com.",
      ),
    },
    gateway("Hostname/IP does not match certificate's altnames: Host: chatgpt.com."),
  ],
  'no-tls': [
    { connecting: systemError('EPROTO', 'write EPROTO 00:error:0A00010B:SSL routines') },
    gateway('write EPROTO 00:error:0A00010B:SSL routines'),
  ],
  'proxy-unusable': [
    gateway('Asked https://chatgpt.com: HTTPS_PROXY is no address of an HTTP proxy.'),
    { connecting: new Error('https_proxy is no address of an HTTP proxy') },
  ],
  'proxy-failed': [
    gateway('Asked https://chatgpt.com through the proxy http://p:1: the proxy refused.'),
    { connecting: new Error('Proxy response (403) !== 200 when HTTP Tunneling') },
  ],
  'gateway-gone': [{ connecting: systemError('ENOENT', 'connect ENOENT /run/gateway.sock') }],
  'no-name': [
    { connecting: systemError('ENOTFOUND', 'getaddrinfo ENOTFOUND chatgpt.com') },
    { connecting: systemError('EAI_AGAIN', 'getaddrinfo EAI_AGAIN chatgpt.com') },
    gateway('getaddrinfo ENOTFOUND chatgpt.com'),
  ],
  'refused-connection': [
    { connecting: systemError('ECONNREFUSED', 'connect ECONNREFUSED 192.0.2.1:443') },
    {
      connecting: new AggregateError([
        systemError('ECONNREFUSED', 'connect ECONNREFUSED ::1:443'),
        systemError('ECONNREFUSED', 'connect ECONNREFUSED 127.0.0.1:443'),
      ]),
    },
    gateway('connect ECONNREFUSED 192.0.2.1:443'),
  ],
  offline: [
    { connecting: systemError('ENETUNREACH') },
    { connecting: systemError('EHOSTUNREACH') },
    gateway('connect ENETUNREACH 192.0.2.1:443'),
  ],
  'not-http': [
    { connecting: systemError('HPE_HEADER_OVERFLOW', 'Parse Error: Header overflow') },
    { reading: systemError('HPE_INVALID_CHUNK_SIZE', 'Parse Error: Invalid character in chunk') },
  ],
  'coding-unknown': [
    {
      connecting: new CodingError(
        'the answer is encoded as "zstd", which this version of Node cannot decode',
      ),
    },
  ],
  'coding-broken': [
    { reading: new CodingError(BROKEN_CODING) },
    { errorEvent: { error: { code: 'upstream_unreachable', message: BROKEN_CODING } } },
  ],
  silence: [
    { connecting: systemError('ETIMEDOUT') },
    { connecting: new Error('nothing came for 60 s') },
    gateway('connect ETIMEDOUT 192.0.2.1:443'),
  ],
  'hung-up': [
    { connecting: systemError('ECONNRESET', 'socket hang up') },
    { connecting: systemError('EPIPE', 'write EPIPE') },
    gateway('read ECONNRESET'),
  ],
  unreachable: [
    { connecting: 'something new' },
    { connecting: undefined },
    gateway('The sign-in server cannot be reached.'),
  ],
  'answer-too-large': [
    { reading: new Error('an event of the stream is longer than 67108864 bytes') },
    { reading: new Error('the answer is longer than 67108864 bytes') },
  ],
  'broke-off': [
    { reading: 'the stream ended too early' },
    { reading: systemError('ECONNRESET', 'aborted') },
    { errorEvent: { error: { code: 'upstream_unreachable', message: 'aborted (ECONNRESET)' } } },
    { reading: new Error('nothing came for 300 s') },
  ],
}
