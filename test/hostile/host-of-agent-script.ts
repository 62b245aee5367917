/**
 * A host as a process of its own, whose container runs a script of the test's in the place of ours:
 * does one run and writes how it ended, with the most memory it has had, as a line of JSON.
 * `node host-of-agent-script.js '{"agentFile": …, "workspace": …, "dataDir": …, "image": …}'`
 */
import { readFileSync } from 'node:fs'
import { readConfig } from '../../host/config.ts'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import { createDocker } from '../../host/engine/docker-host.ts'
import { watchAutorun } from '../../host/outer/autorun/watch.ts'
import { demoProvider } from '../../host/outer/demo/demo-provider.ts'
import { openEgressProxy } from '../../host/outer/egress/open-egress-proxy.ts'
import { Conversation } from '../../host/runs/conversation.ts'
import { SessionLog } from '../../host/runs/session-log.ts'
import { openWorkspace } from '../../host/workspace/open-workspace.ts'

const { agentFile, workspace, dataDir, image, isRead, runMs } = JSON.parse(process.argv[2] ?? '')
const { docker, source } = createDocker()
const conversation = new Conversation({
  config: { ...readConfig({}, dataDir), dataDir },
  workspace: openWorkspace(workspace, dataDir),
  watch: watchAutorun(workspace),
  openEgressProxy,
  provider: { ...demoProvider({ paceMs: 0 }), containerProvider: agentFile },
  engine: dockerEngine(docker, image, source),
  log: await SessionLog.open(dataDir, 'hostile'),
  limits: {
    maxTurns: 200,
    runMs,
    idleMs: 60_000,
    firstEventMs: 60_000,
    streamIdleMs: 60_000,
    toolMs: 60_000,
    toolOutputBytes: 40_000,
  },
  outputSchema: undefined,
  webSearch: false,
  notices: [],
})
const run = conversation.run('hello')
let events = 0
if (isRead) for await (const _ of run) events++
const { status, error } = await run.result
const endedAt = performance.now()
await conversation.close()
const closedMs = performance.now() - endedAt
const peakKB = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
const peakMB = Math.round(Number(peakKB) / 1024)
process.stdout.write(JSON.stringify({ status, error, events, peakMB, closedMs }))
