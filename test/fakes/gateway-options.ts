import type { RunPolicy } from '../../host/gateway/body-policy.ts'
import type { GatewayOptions } from '../../host/gateway/gateway.ts'
import { type Budget, budgetOf } from '../../host/gateway/run-budget.ts'

/** Options for a gateway whose runs may ask what `aModelRequest` asks. */
export function someGatewayOptions(
  given: Partial<Omit<GatewayOptions, 'runPolicy' | 'budget'>> & {
    runPolicy?: Partial<RunPolicy>
    budget?: Partial<Budget>
  } = {},
): GatewayOptions {
  return {
    ...given,
    runPolicy: {
      conversationId: 'conversation-1',
      model: 'gpt-5.5',
      form: { lite: false, webSearch: false },
      ...given.runPolicy,
    },
    budget: { ...budgetOf({ maxTurns: 20, runMs: 60_000 }), ...given.budget },
  }
}

/** The body of a request as the agent makes it; a test names only what it is about. */
export function aModelRequest(given: Record<string, unknown> = {}): string {
  return JSON.stringify({
    model: 'gpt-5.5',
    stream: true,
    store: false,
    tools: [],
    tool_choice: 'auto',
    parallel_tool_calls: true,
    reasoning: { effort: 'medium' },
    include: ['reasoning.encrypted_content'],
    prompt_cache_key: 'conversation-1',
    input: [],
    ...given,
  })
}
