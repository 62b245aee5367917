import { tmpdir } from 'node:os'
import type { ModelForm, RunLimits, RunRequest } from '../../shared/protocol.ts'
import { PROTOCOL_VERSION } from '../../shared/protocol-version.ts'

/** A run request that is complete and has short timeouts; a test names only what it is about. */
export function aRunRequest(
  given: Partial<Omit<RunRequest, 'form' | 'limits' | 'endpoint'>> & {
    form?: Partial<ModelForm>
    limits?: Partial<RunLimits>
    endpoint?: Partial<RunRequest['endpoint']>
  } = {},
): RunRequest {
  return {
    version: PROTOCOL_VERSION,
    runId: 'run-1',
    conversationId: 'conversation-1',
    prompt: 'Say hello.',
    history: [],
    secrets: { CODEX_ACCESS_TOKEN: 'first-token', CODEX_ACCOUNT_ID: 'account-1' },
    model: 'gpt-5.5',
    instructions: 'You are part of a test.',
    reasoning: { effort: 'medium' },
    workspace: tmpdir(),
    ...given,
    form: {
      lite: false,
      applyPatch: true,
      images: true,
      webSearch: false,
      compaction: 'trigger',
      ...given.form,
    },
    endpoint: {
      // The discard port: a test that forgets its server fails instead of reaching another one.
      url: 'http://127.0.0.1:9/v1/responses',
      headers: { originator: 'codexbox', 'user-agent': 'codexbox/0.0.0 (test)' },
      ...given.endpoint,
    },
    limits: {
      maxTurns: 20,
      runMs: 18_000,
      idleMs: 10_000,
      firstEventMs: 5_000,
      streamIdleMs: 5_000,
      toolMs: 10_000,
      toolOutputBytes: 20_000,
      ...given.limits,
    },
  }
}
