import type { ErrorCode } from '../../shared/errors.ts'
import { NOT_A_RESPONSE } from '../../shared/event-stream.ts'
import { BUDGET_SPENT, POLICY_REFUSED } from '../../shared/gateway-errors.ts'

/**
 * Where it went wrong: a refused request, the two events that end a stream without success, a
 * connection that gave no answer, or one that broke while the answer was read.
 */
export type Where = 'http' | 'failed' | 'incomplete' | 'connecting' | 'reading'

/**
 * - `give-up`: the failure will last longer than seconds
 * - `retry`: it may pass within seconds
 * - `ask-for-secrets`: the host may have a newer token; once
 * - `drop-reasoning`: the request may pass without the sealed reasoning of earlier turns; once
 * - `drop-images`: the request may pass without the images of the conversation; once, and not where they are the prompt's
 * - `compact`: the conversation has to become shorter first; once
 * - `name-client-version`: the service may take us for an old client; once, for a listed model
 */
export type Remedy =
  | 'give-up'
  | 'retry'
  | 'ask-for-secrets'
  | 'drop-reasoning'
  | 'drop-images'
  | 'compact'
  | 'name-client-version'

/** All conditions that are set must hold. */
export interface Condition {
  /** Only a refused request has a status. `5xx`: all of 500 to 599. */
  status?: readonly (number | `${number}xx`)[]
  /** The service's `code` or `type` of the error, the reason of an incomplete answer, a system error. */
  named?: readonly string[]
  /** Matches the text of the service or the system. */
  text?: RegExp
  /** The parameter the service complains about. */
  param?: RegExp
  header?: readonly [name: string, value: RegExp]
  plan?: RegExp
  /** The body is a web page instead of JSON. */
  isPage?: true
  /** The service, or its text, says how long to wait. */
  hasWait?: true
  /** The limit that stopped the request belongs to a model or a feature, and has a name. */
  hasLimitName?: true
}

/** `says` and `advice` may hold `{status}` and the other parts that model-failure.ts fills in. */
export interface FailureRow {
  name: string
  where: readonly Where[]
  when: Condition
  code: ErrorCode
  /** What happened. */
  says: string
  /** What the user can do. */
  advice?: string
  remedy: Remedy
  /** Why we do not do what the official client does. */
  why?: string
}

const ANSWER = ['http', 'failed'] as const
const USAGE_LIMIT = ['usage_limit_reached']
/** The codes of the Responses API for images. */
const IMAGE_REFUSED = [
  'invalid_image',
  'image_parse_error',
  'invalid_image_format',
  'invalid_image_mode',
  'invalid_image_url',
  'invalid_base64_image',
  'unsupported_image_media_type',
  'empty_image_file',
  'image_too_large',
  'image_too_small',
  'image_file_too_large',
  'image_content_policy_violation',
]
const REACHED_TYPE = 'x-codex-rate-limit-reached-type'
const CREDITS = 'https://chatgpt.com/settings/usage'
const SAME_AGAIN = 'The official client repeats it; the same request gets the same answer.'
const NOT_IN_SECONDS = 'The official client repeats it; this does not change within seconds.'
const NOT_IN_FAILED =
  'In a failed stream the official client repeats it as it does any unknown code.'
const NEVER_OLD =
  'The official client names its version with each request. Ours names one when it is refused.'
const NO_CODING_ASKED_FOR =
  'No encoding was asked for. A proxy on the way may have added it: check proxy and VPN.'
const ENOUGH = 'The official client asks up to 30 times; six are enough to be sure.'

/** The failures of requests to the model. The first row that matches counts. */
export const failureGroups: readonly { title: string; rows: readonly FailureRow[] }[] = [
  {
    title: 'The host',
    rows: [
      {
        name: 'run-may-not',
        where: ['http'],
        when: { named: [POLICY_REFUSED] },
        code: 'request-invalid',
        says: 'The host did not pass a request on: {said}',
        advice:
          'Our own agent asks no such thing; if nobody meddled with it, this is a bug of codexbox.',
        remedy: 'give-up',
      },
      {
        name: 'run-has-had-enough',
        where: ['http'],
        when: { named: [BUDGET_SPENT] },
        code: 'budget-spent',
        says: 'The host ended the run: {said}',
        advice: 'Look at what it did; then go on with `codexbox run --continue`.',
        remedy: 'give-up',
      },
    ],
  },
  {
    title: 'Limits, plans and accounts',
    rows: [
      {
        name: 'workspace-owner-credits',
        where: ['http'],
        when: { named: USAGE_LIMIT, header: [REACHED_TYPE, /^workspace_owner_credits_depleted$/] },
        code: 'usage-limit',
        says: 'The credits of your workspace are used up.',
        advice: `Add credits (${CREDITS}) or {until}.`,
        remedy: 'give-up',
      },
      {
        name: 'workspace-member-credits',
        where: ['http'],
        when: { named: USAGE_LIMIT, header: [REACHED_TYPE, /^workspace_member_credits_depleted$/] },
        code: 'usage-limit',
        says: 'The credits of your workspace are used up.',
        advice: 'Ask its owner to add credits, or {until}.',
        remedy: 'give-up',
      },
      {
        name: 'workspace-owner-limit',
        where: ['http'],
        when: {
          named: USAGE_LIMIT,
          header: [REACHED_TYPE, /^workspace_owner_usage_limit_reached$/],
        },
        code: 'usage-limit',
        says: 'The usage limit of your workspace is reached.',
        advice: `Raise it (${CREDITS}) or {until}.`,
        remedy: 'give-up',
      },
      {
        name: 'workspace-member-limit',
        where: ['http'],
        when: {
          named: USAGE_LIMIT,
          header: [REACHED_TYPE, /^workspace_member_usage_limit_reached$/],
        },
        code: 'usage-limit',
        says: 'Your usage limit in this workspace is reached.',
        advice: 'Ask its owner to raise it, or {until}.',
        remedy: 'give-up',
      },
      {
        name: 'limit-of-a-model',
        where: ['http'],
        when: { named: USAGE_LIMIT, hasLimitName: true },
        code: 'usage-limit',
        says: 'The usage limit for {limit} is reached.',
        advice: 'Choose another model with --model, or {until}.',
        remedy: 'give-up',
      },
      {
        name: 'limit-with-offer',
        where: ['http'],
        when: { named: USAGE_LIMIT, header: ['x-codex-promo-message', /\S/] },
        code: 'usage-limit',
        says: 'The usage limit{ofPlan} is reached. {offer}',
        advice: 'Or {until}.',
        remedy: 'give-up',
      },
      {
        name: 'limit-free',
        where: ANSWER,
        when: { named: USAGE_LIMIT, plan: /^(free|go)$/ },
        code: 'usage-limit',
        says: 'The usage limit{ofPlan} is reached.',
        advice: 'Upgrade to Plus (https://chatgpt.com/explore/plus) or {until}.',
        remedy: 'give-up',
        why: NOT_IN_FAILED,
      },
      {
        name: 'limit-plus',
        where: ANSWER,
        when: { named: USAGE_LIMIT, plan: /^plus$/ },
        code: 'usage-limit',
        says: 'The usage limit{ofPlan} is reached.',
        advice: `Upgrade to Pro (https://chatgpt.com/explore/pro), buy credits (${CREDITS}) or {until}.`,
        remedy: 'give-up',
        why: NOT_IN_FAILED,
      },
      {
        name: 'limit-pro',
        where: ANSWER,
        when: { named: USAGE_LIMIT, plan: /^(pro|prolite|promax)$/ },
        code: 'usage-limit',
        says: 'The usage limit{ofPlan} is reached.',
        advice: `Buy credits (${CREDITS}) or {until}.`,
        remedy: 'give-up',
        why: NOT_IN_FAILED,
      },
      {
        name: 'limit-team',
        where: ANSWER,
        when: {
          named: USAGE_LIMIT,
          plan: /^(team|business|self_serve_business_.+|enterprise_cbp_.+|ent26|sci)$/,
        },
        code: 'usage-limit',
        says: 'The usage limit{ofPlan} is reached.',
        advice: 'Ask your administrator for more, or {until}.',
        remedy: 'give-up',
        why: NOT_IN_FAILED,
      },
      {
        name: 'limit',
        where: ANSWER,
        when: { named: USAGE_LIMIT },
        code: 'usage-limit',
        says: 'The usage limit{ofPlan} is reached.',
        advice: 'To go on, {until}.',
        remedy: 'give-up',
        why: NOT_IN_FAILED,
      },
      {
        name: 'plan-without-codex',
        where: ANSWER,
        when: { named: ['usage_not_included', 'missing_codex_entitlement'] },
        code: 'plan-without-codex',
        says: 'The plan of this account does not include Codex.',
        advice: 'Upgrade it (https://chatgpt.com/explore/plus) or sign in with another account.',
        remedy: 'give-up',
      },
      {
        name: 'quota-spent',
        where: ANSWER,
        when: { named: ['insufficient_quota', 'billing_hard_limit_reached', 'billing_not_active'] },
        code: 'usage-limit',
        says: 'The quota is spent: {said}',
        advice: 'Check the plan and its billing.',
        remedy: 'give-up',
      },
      {
        name: 'account-deactivated',
        where: ANSWER,
        when: { named: ['account_deactivated', 'deactivated_workspace'] },
        code: 'model-refused',
        says: 'The account or its workspace has been deactivated: {said}',
        advice: 'Sign in with another, or ask the owner of the workspace.',
        remedy: 'give-up',
        why: NOT_IN_SECONDS,
      },
    ],
  },
  {
    title: 'The conversation',
    rows: [
      {
        name: 'context-full',
        where: ANSWER,
        when: { named: ['context_length_exceeded'] },
        code: 'context-full',
        says: 'The conversation no longer fits into the model.',
        advice: 'Start a new session.',
        remedy: 'compact',
        why: 'The official client ends the run; a shortened conversation can go on.',
      },
      {
        name: 'context-full-in-words',
        where: ANSWER,
        when: {
          status: [400, 413],
          text: /maximum context length|exceeds? the context window|prompt is too long/i,
        },
        code: 'context-full',
        says: 'The conversation no longer fits into the model.',
        advice: 'Start a new session.',
        remedy: 'compact',
        why: 'Services with the same interface say it in words alone.',
      },
      {
        name: 'reasoning-unreadable',
        where: ANSWER,
        when: { named: ['invalid_encrypted_content'] },
        code: 'model-refused',
        says: 'The service cannot open the sealed reasoning of this conversation.',
        advice: 'Start a new session.',
        remedy: 'drop-reasoning',
        why: 'The official client ends the run, and every later one of the conversation.',
      },
      {
        name: 'reasoning-unreadable-in-words',
        where: ANSWER,
        when: {
          text: /encrypted content\b.{0,200}\b(could|can) ?not be|item with id .?rs_\w+.? not found|of type .?reasoning.? was provided without/i,
        },
        code: 'model-refused',
        says: 'The service cannot open the sealed reasoning of this conversation.',
        advice: 'Start a new session.',
        remedy: 'drop-reasoning',
        why: 'The official client ends the run, and every later one of the conversation.',
      },
      {
        name: 'call-without-output',
        where: ['http'],
        when: { text: /no tool (output|call) found for/i },
        code: 'model-refused',
        says: 'A tool call of this conversation lacks its output: {said}',
        advice: 'Start a new session.',
        remedy: 'give-up',
      },
      {
        name: 'image-unreadable',
        where: ANSWER,
        when: { named: IMAGE_REFUSED },
        code: 'model-refused',
        says: 'The service refuses an image of this conversation: {said}',
        advice: 'Ask again without it, or with another.',
        remedy: 'drop-images',
        why: SAME_AGAIN,
      },
      {
        name: 'image-unreadable-in-words',
        where: ANSWER,
        when: {
          status: [400],
          text: /not represent a valid image|(invalid|unsupported) image|\bimage_url\b/i,
        },
        code: 'model-refused',
        says: 'The service refuses an image of this conversation: {said}',
        advice: 'Ask again without it, or with another.',
        remedy: 'drop-images',
      },
      {
        name: 'prompt-refused',
        where: ANSWER,
        when: { named: ['invalid_prompt', 'cyber_policy', 'bio_policy'] },
        code: 'model-refused',
        says: 'The service refuses the prompt: {said}',
        advice: 'Ask in another way.',
        remedy: 'give-up',
      },
    ],
  },
  {
    title: 'The model',
    rows: [
      {
        name: 'effort-in-the-model',
        where: ['http'],
        when: {
          status: ['4xx'],
          text: /\bmodel\b.{0,40}['"`][\w.:-]+-(none|minimal|low|medium|high|xhigh)['"`]|['"`][\w.:-]+-(none|minimal|low|medium|high|xhigh)['"`] model\b/i,
        },
        code: 'model-unknown',
        says: 'The service does not know {model}: the effort is no part of the name.',
        advice: 'Name the model without it, and set --effort.',
        remedy: 'give-up',
      },
      {
        name: 'client-too-old',
        where: ANSWER,
        when: {
          status: ['4xx'],
          text: /\bmodel\b.{0,100}\brequires a newer version of codex\b/i,
        },
        code: 'model-refused',
        says: 'The service wants a newer client for {model}.',
        advice: 'Choose {otherModel} with --model, or look for a newer version of codexbox.',
        remedy: 'name-client-version',
        why: NEVER_OLD,
      },
      {
        name: 'client-too-old-or-not-for-account',
        where: ANSWER,
        when: {
          status: ['4xx'],
          text: /\bmodel\b.{0,100}\bnot supported when using codex with a chatgpt account/i,
        },
        code: 'model-unknown',
        says: 'The service does not offer {model} to this account: it is retired, or of another plan.',
        advice: 'Choose {otherModel} with --model.',
        remedy: 'name-client-version',
        why: NEVER_OLD,
      },
      {
        name: 'client-too-old-or-not-found',
        where: ANSWER,
        when: { status: [404], text: /^model not found:? [\w.:/-]{1,100}$/i },
        code: 'model-unknown',
        says: 'The service does not know {model}, or not for this account.',
        advice: 'Choose {otherModel} with --model.',
        remedy: 'name-client-version',
        why: NEVER_OLD,
      },
      {
        name: 'model-retired',
        where: ANSWER,
        when: {
          status: ['4xx'],
          text: /\bmodel\b.{0,100}\b(deprecated|retired|discontinued|no longer (available|supported|offered)|(was|been) (removed|shut down))\b/i,
        },
        code: 'model-unknown',
        says: 'The service no longer offers {model}.',
        advice: 'Choose {otherModel} with --model.',
        remedy: 'give-up',
      },
      {
        name: 'model-unknown',
        where: ANSWER,
        when: { named: ['model_not_found'] },
        code: 'model-unknown',
        says: 'The service does not know {model}, or not for this account.',
        advice: 'Choose {otherModel} with --model.',
        remedy: 'give-up',
      },
      {
        name: 'model-unknown-in-words',
        where: ANSWER,
        when: {
          status: ['4xx'],
          text: /\bmodel\b.{0,100}\b(not supported|not exist|not found|not available (to|for|in|with))\b|\b(unknown|invalid) model\b/i,
        },
        code: 'model-unknown',
        says: 'The service does not know {model}, or not for this account.',
        advice: 'Choose {otherModel} with --model.',
        remedy: 'give-up',
        why: NOT_IN_SECONDS,
      },
    ],
  },
  {
    title: 'The request and the sign-in',
    rows: [
      {
        name: 'effort-refused',
        where: ['http'],
        when: { status: [400, 422], param: /^reasoning\b/ },
        code: 'model-refused',
        says: 'The model does not take this effort or summary: {said}',
        advice: 'Choose another with --effort or AGENT_SUMMARY.',
        remedy: 'give-up',
      },
      {
        name: 'instructions-refused',
        where: ['http'],
        when: { status: [400], text: /instructions are not valid/i },
        code: 'model-refused',
        says: 'The service does not take the instructions of this program.',
        advice: 'Look for a newer version of codexbox.',
        remedy: 'give-up',
      },
      {
        name: 'parameter-refused',
        where: ['http'],
        when: {
          status: [400, 422],
          text: /\b(unsupported|unknown|unrecognized)\b.{0,20}\b(parameter|argument)/i,
        },
        code: 'model-refused',
        says: 'The service does not take a part of the request: {said}',
        advice: 'Look for a newer version of codexbox, or choose another model with --model.',
        remedy: 'give-up',
      },
      {
        name: 'api-key-refused',
        where: ['http'],
        when: { named: ['invalid_api_key'] },
        code: 'not-signed-in',
        says: 'The service does not accept the API key.',
        advice: 'Check OPENAI_API_KEY.',
        remedy: 'give-up',
      },
      {
        name: 'sign-in-refused',
        where: ['http'],
        when: { status: [401] },
        code: 'not-signed-in',
        says: 'The service does not accept the sign-in: {said}',
        advice: 'Sign in again.',
        remedy: 'ask-for-secrets',
        why: 'The official client renews the token itself; here the host does.',
      },
      {
        name: 'capability-refused',
        where: ['http'],
        when: { named: ['capability_refused'] },
        code: 'model-refused',
        says: 'The host no longer lets this run ask the model.',
        advice: 'Start it again.',
        remedy: 'give-up',
      },
    ],
  },
  {
    title: 'Something between us and the service',
    rows: [
      {
        name: 'region-unsupported',
        where: ['http'],
        when: { named: ['unsupported_country_region_territory'] },
        code: 'model-refused',
        says: 'The service is not offered in the region this request came from.',
        advice: 'If that is not where you are, check VPN and proxy.',
        remedy: 'give-up',
        why: NOT_IN_SECONDS,
      },
      {
        name: 'cloudflare-challenge',
        where: ['http'],
        when: { header: ['cf-mitigated', /\S/] },
        code: 'model-refused',
        says: 'Cloudflare, in front of the service, wants a browser to prove itself ({status}).',
        advice: 'Wait some minutes, then try without VPN or proxy.',
        remedy: 'give-up',
        why: 'The official client repeats it; a burst of requests only makes the block last.',
      },
      {
        name: 'cloudflare-block',
        where: ['http'],
        when: { status: [403], text: /cloudflare[\s\S]*blocked|blocked[\s\S]*cloudflare/i },
        code: 'model-refused',
        says: 'Cloudflare, in front of the service, blocks this connection ({status}).',
        advice: 'A restricted region, a VPN or a proxy is the usual reason.',
        remedy: 'give-up',
        why: 'The official client repeats it; a burst of requests only makes the block last.',
      },
      {
        name: 'cloudflare-page',
        where: ['http'],
        when: { status: ['4xx'], isPage: true, header: ['cf-ray', /\S/] },
        code: 'model-refused',
        says: 'Cloudflare, in front of the service, answered {status} with a web page: {said}',
        advice: 'Wait some minutes, then try without VPN or proxy.',
        remedy: 'give-up',
        why: 'The official client repeats it; a burst of requests only makes the block last.',
      },
      {
        name: 'proxy-sign-in',
        where: ['http'],
        when: { status: [407] },
        code: 'model-unreachable',
        says: 'A proxy on the way asks for a name and password (407).',
        advice: 'Write them into the address of the proxy.',
        remedy: 'give-up',
        why: SAME_AGAIN,
      },
      {
        name: 'portal',
        where: ['http'],
        when: { status: ['2xx', '3xx', 511] },
        code: 'model-unreachable',
        says: 'Not the service but something on the way answered ({status}): {said}',
        advice:
          'If this network has a sign-in page, open it in a browser; else check proxy and base URL.',
        remedy: 'give-up',
        why: NOT_IN_SECONDS,
      },
      {
        name: 'page-of-somebody-else',
        where: ['http'],
        when: { status: ['4xx'], isPage: true },
        code: 'model-unreachable',
        says: 'Not the service but something on the way answered {status} with a web page: {said}',
        advice: 'Check VPN, proxy and base URL.',
        remedy: 'give-up',
        why: NOT_IN_SECONDS,
      },
    ],
  },
  {
    title: 'The service is busy',
    rows: [
      {
        name: 'overloaded',
        where: ['http'],
        when: { status: ['5xx'], named: ['server_is_overloaded', 'slow_down'] },
        code: 'model-failed',
        says: 'The model is at capacity ({status}).',
        advice: 'Try again later, or choose another model with --model.',
        remedy: 'retry',
        why: ENOUGH,
      },
      {
        name: 'overloaded-in-stream',
        where: ['failed'],
        when: { named: ['server_is_overloaded'] },
        code: 'model-failed',
        says: 'The model is at capacity.',
        advice: 'Try again later, or choose another model with --model.',
        remedy: 'give-up',
      },
      {
        name: 'rate-limit',
        where: ['http'],
        when: { status: [429], hasWait: true },
        code: 'rate-limited',
        says: 'There were too many requests (429): {said}',
        advice: 'Try again later.',
        remedy: 'retry',
      },
      {
        name: 'rate-limit-without-hint',
        where: ['http'],
        when: { status: [429] },
        code: 'rate-limited',
        says: 'There were too many requests (429): {said}',
        advice: 'Try again later.',
        remedy: 'give-up',
      },
      {
        name: 'rate-limit-in-stream',
        where: ['failed'],
        when: { named: ['rate_limit_exceeded', 'slow_down'] },
        code: 'rate-limited',
        says: 'There were too many requests: {said}',
        advice: 'Try again later.',
        remedy: 'retry',
      },
    ],
  },
  {
    title: 'By status alone',
    rows: [
      {
        name: 'bad-request',
        where: ['http'],
        when: { status: [400] },
        code: 'model-refused',
        says: 'The service refused the request (400): {said}',
        remedy: 'give-up',
      },
      {
        name: 'payment-required',
        where: ['http'],
        when: { status: [402] },
        code: 'usage-limit',
        says: 'The service asks for a payment (402): {said}',
        advice: 'Check the plan and its billing.',
        remedy: 'give-up',
        why: NOT_IN_SECONDS,
      },
      {
        name: 'too-large',
        where: ['http'],
        when: { status: [413] },
        code: 'context-full',
        says: 'The conversation is too large to be sent (413): {said}',
        advice: 'Ask again without large images, the usual reason, or start a new session.',
        remedy: 'drop-images',
        why: SAME_AGAIN,
      },
      {
        name: 'legal-block',
        where: ['http'],
        when: { status: [451] },
        code: 'model-refused',
        says: 'The service may not answer here, for legal reasons (451): {said}',
        remedy: 'give-up',
        why: NOT_IN_SECONDS,
      },
      {
        name: 'request-refused',
        where: ['http'],
        when: { status: [405, 406, 410, 411, 414, 415, 422] },
        code: 'model-refused',
        says: 'The service refused the request ({status}): {said}',
        advice: 'Check the base URL, and look for a newer version of codexbox.',
        remedy: 'give-up',
        why: SAME_AGAIN,
      },
      {
        name: 'refused-for-now',
        where: ['http'],
        when: { status: ['4xx'] },
        code: 'model-refused',
        says: 'The service refused the request ({status}): {said}',
        remedy: 'retry',
      },
      {
        name: 'page-of-a-failure',
        where: ['http'],
        when: { status: ['5xx'], isPage: true },
        code: 'model-failed',
        says: 'The service cannot be reached from the server in front of it ({status}): {said}',
        advice: 'Try again later.',
        remedy: 'retry',
        why: ENOUGH,
      },
      {
        name: 'service-failed',
        where: ['http'],
        when: { status: ['5xx'] },
        code: 'model-failed',
        says: 'The service failed ({status}): {said}',
        advice: 'Try again later.',
        remedy: 'retry',
        why: ENOUGH,
      },
      {
        name: 'no-status-of-http',
        where: ['http'],
        when: {},
        code: 'model-unreachable',
        says: 'Something answered with the status {status}, which has no meaning: {said}',
        advice: 'Check proxy and base URL.',
        remedy: 'give-up',
      },
    ],
  },
  {
    title: 'The end of an answer',
    rows: [
      {
        name: 'answer-too-long',
        where: ['incomplete'],
        when: { named: ['max_output_tokens'] },
        code: 'model-failed',
        says: 'The answer reached the length the model may write (max_output_tokens).',
        advice: 'Ask for it in parts.',
        remedy: 'give-up',
      },
      {
        name: 'answer-filtered',
        where: ['incomplete'],
        when: { named: ['content_filter'] },
        code: 'model-failed',
        says: 'A content filter of the service stopped the answer.',
        advice: 'Ask in another way.',
        remedy: 'retry',
      },
      {
        name: 'answer-incomplete',
        where: ['incomplete'],
        when: {},
        code: 'model-failed',
        says: 'The service ended the answer early: {said}',
        remedy: 'retry',
      },
      {
        name: 'not-a-response',
        where: ['failed'],
        when: { named: [NOT_A_RESPONSE] },
        code: 'model-unreachable',
        says: 'What answers is no model service: {said}',
        advice: 'Check proxy and base URL.',
        remedy: 'give-up',
      },
      {
        name: 'answer-failed',
        where: ['failed'],
        when: {},
        code: 'model-failed',
        says: 'The service failed while answering: {said}',
        advice: 'Try again later.',
        remedy: 'retry',
      },
    ],
  },
  {
    title: 'The connection',
    rows: [
      {
        name: 'certificate-dates',
        where: ['connecting'],
        when: {
          text: /\bCERT_(HAS_EXPIRED|NOT_YET_VALID)\b|certificate (has expired|is not yet valid)/i,
        },
        code: 'model-unreachable',
        says: "By this machine's clock the certificate of the service is not valid: {said}",
        advice: 'Check date and time of the host.',
        remedy: 'give-up',
        why: NOT_IN_SECONDS,
      },
      {
        name: 'certificate-authority',
        where: ['connecting'],
        when: {
          text: /\bCERT_UNTRUSTED\b|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|unable to (get|verify)|self-signed/i,
        },
        code: 'model-unreachable',
        says: 'The certificate of the service is of no authority that is trusted here: {said}',
        advice: 'If your network has its own, name its file in NODE_EXTRA_CA_CERTS on the host.',
        remedy: 'give-up',
        why: NOT_IN_SECONDS,
      },
      {
        name: 'certificate-name',
        where: ['connecting'],
        when: { text: /\bERR_TLS_CERT_ALTNAME_INVALID\b|certificate's altnames/ },
        code: 'model-unreachable',
        says: 'Somebody else answers in the place of the service: {said}',
        advice: 'A portal or a proxy is the usual reason; open a web page in a browser.',
        remedy: 'give-up',
        why: NOT_IN_SECONDS,
      },
      {
        name: 'no-tls',
        where: ['connecting'],
        when: { text: /\bEPROTO\b|wrong version number|\bSSL (routines|alert)|\bERR_SSL_/i },
        code: 'model-unreachable',
        says: 'No secure connection to the service comes about: {said}',
        advice: 'Check proxy and base URL.',
        remedy: 'give-up',
        why: NOT_IN_SECONDS,
      },
      {
        name: 'proxy-unusable',
        where: ['connecting'],
        when: { text: /\bis no address of an HTTP proxy\b/ },
        code: 'config-invalid',
        says: 'The proxy of your settings cannot be used: {said}',
        remedy: 'give-up',
        why: 'A setting does not change by itself.',
      },
      {
        name: 'proxy-failed',
        where: ['connecting'],
        when: { text: /\bproxy\b/i },
        code: 'model-unreachable',
        says: 'The way to the service through the proxy fails: {said}',
        remedy: 'retry',
      },
      {
        name: 'gateway-gone',
        where: ['connecting'],
        when: { text: /gateway\.sock\b/ },
        code: 'model-unreachable',
        says: 'The host does not listen any more: {said}',
        advice: 'Start the run again.',
        remedy: 'retry',
      },
      {
        name: 'no-name',
        where: ['connecting'],
        when: { named: ['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA', 'EAI_NONAME'] },
        code: 'model-unreachable',
        says: 'The name of the service cannot be looked up: {said}',
        advice: 'Check the network and its DNS.',
        remedy: 'retry',
        why: 'The official client waits for a network without end; a run of ours has to end.',
      },
      {
        name: 'refused-connection',
        where: ['connecting'],
        when: { named: ['ECONNREFUSED'] },
        code: 'model-unreachable',
        says: 'Nothing listens where the service should be: {said}',
        advice: 'Check proxy and base URL.',
        remedy: 'retry',
        why: 'The official client waits for a network without end; a run of ours has to end.',
      },
      {
        name: 'offline',
        where: ['connecting'],
        when: {
          named: [
            'ENETUNREACH',
            'EHOSTUNREACH',
            'ENETDOWN',
            'EHOSTDOWN',
            'EADDRNOTAVAIL',
            'ENONET',
          ],
        },
        code: 'model-unreachable',
        says: 'There is no way to the service: {said}',
        advice: 'Check the network.',
        remedy: 'retry',
        why: 'The official client waits for a network without end; a run of ours has to end.',
      },
      {
        name: 'not-http',
        where: ['connecting', 'reading'],
        when: { text: /\bHPE_|Parse Error/ },
        code: 'model-unreachable',
        says: 'What answers does not keep to HTTP: {said}',
        advice: 'Check proxy and base URL.',
        remedy: 'retry',
      },
      {
        name: 'coding-unknown',
        where: ['connecting'],
        when: { text: /the answer is encoded as .* this version of Node cannot decode/ },
        code: 'model-unreachable',
        says: 'Asked the service: {said}',
        advice: NO_CODING_ASKED_FOR,
        remedy: 'give-up',
        why: SAME_AGAIN,
      },
      {
        name: 'coding-broken',
        where: ['reading'],
        when: { text: /the answer is encoded as / },
        code: 'model-unreachable',
        says: 'Asked the service: {said}',
        advice: NO_CODING_ASKED_FOR,
        remedy: 'retry',
      },
      {
        name: 'silence',
        where: ['connecting'],
        when: { text: /\bE?TIMED ?OUT\b|\btime-?out\b|nothing came for/i },
        code: 'model-unreachable',
        says: 'The service did not answer in time: {said}',
        advice: 'Try again later.',
        remedy: 'retry',
      },
      {
        name: 'hung-up',
        where: ['connecting'],
        when: { text: /\bECONNRESET\b|\bECONNABORTED\b|\bEPIPE\b|socket hang up/ },
        code: 'model-unreachable',
        says: 'The connection was closed before the service answered: {said}',
        advice: 'Check the network, VPN and proxy.',
        remedy: 'retry',
      },
      {
        name: 'unreachable',
        where: ['connecting'],
        when: {},
        code: 'model-unreachable',
        says: 'The model cannot be reached: {said}',
        advice: 'Check the network.',
        remedy: 'retry',
      },
      {
        name: 'answer-too-large',
        where: ['reading'],
        when: { text: /(an event of the stream|the answer) is longer than/ },
        code: 'model-failed',
        says: 'What the service sent is no answer of a model: {said}',
        advice: 'Check proxy and base URL.',
        remedy: 'give-up',
      },
      {
        name: 'broke-off',
        where: ['reading'],
        when: {},
        code: 'stream-cut',
        says: "The model's answer broke off: {said}",
        advice: 'Check the network, VPN and proxy.',
        remedy: 'retry',
      },
    ],
  },
]

export const failureTable: readonly FailureRow[] = failureGroups.flatMap(({ rows }) => rows)
