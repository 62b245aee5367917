import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { type Tokens, tokensFrom } from '../../host/auth/tokens.ts'
import { openConversation } from '../../host/open-conversation.ts'
import type { RunEvent } from '../../shared/protocol.ts'
import { type FakeIssuer, startFakeIssuer } from '../fakes/issuer.ts'
import type { aRunRequest } from '../fakes/run-request.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { type RecordedService, startRecordedService } from './recorded-service.ts'
import type { Cleanup, Recording } from './replay.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

/** A host with its own folders, and the two servers it talks to. */
export interface HostScene {
  recorded: Recording
  issuer: FakeIssuer
  service: RecordedService
  dataDir: string
  workspace: string
}

/** Signed in as the recording says, with a service and an issuer that answer as it says. */
export async function hostScene(
  { onTestFinished }: Cleanup,
  recorded: Recording,
): Promise<HostScene> {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-credentials-'))
  const [dataDir, workspace] = [join(folder, 'data'), join(folder, 'work')]
  mkdirSync(workspace)
  const issuer = await startFakeIssuer()
  const service = await startRecordedService(recorded)
  onTestFinished(async () => {
    await service.close()
    await issuer.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const { credentials } = recorded
  issuer.refreshReplies = credentials?.tokenAnswers ?? []
  if (!credentials?.signedOut) await fileTokenStore(dataDir).replace(tokensAs(recorded, issuer))
  if (credentials?.renewedByAnother) {
    service.beforeAnswer = async () => {
      service.beforeAnswer = undefined
      await fileTokenStore(dataDir).replace(someTokens(issuer.grant()))
    }
  }
  return { recorded, issuer, service, dataDir, workspace }
}

function tokensAs(
  { credentials = { tokenRequests: 0, accountChecks: 0 } }: Recording,
  issuer: FakeIssuer,
): Tokens {
  const { leftMs = 60 * MINUTE, opaque, lastRefreshDaysAgo = 0 } = credentials
  const last_refresh = Date.now() - 2 * MINUTE - lastRefreshDaysAgo * DAY
  const granted = issuer.grant()
  if (opaque) {
    return {
      ...tokensFrom({ ...granted, access_token: 'opaque-token' }, last_refresh),
      last_refresh,
    }
  }
  return someTokens({ ...granted, expires_at: Date.now() + leftMs, last_refresh })
}

/** One run by way of the real host, gateway and agent; `given` as the official client was told. */
export async function runOnHost(
  { service, issuer, dataDir, workspace }: HostScene,
  given: Parameters<typeof aRunRequest>[0] = {},
): Promise<RunEvent[]> {
  const { model = 'gpt-5.5', reasoning = {}, verbosity, outputSchema } = given
  const conversation = await openConversation({
    workspace,
    settings: {
      provider: 'codex',
      engine: 'process',
      credentials: 'sealed',
      dataDir,
      codexBaseUrl: service.baseUrl,
      authIssuer: issuer.url,
      model,
      effort: reasoning.effort,
      summary: reasoning.summary,
      verbosity,
    },
    ...(outputSchema ? { outputSchema } : {}),
  })
  const events: RunEvent[] = []
  try {
    for await (const event of conversation.run('Say hello.')) events.push(event)
  } finally {
    await conversation.close()
  }
  return events
}
