import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { readConfig } from '../../host/config.ts'
import { openConversation } from '../../host/open-conversation.ts'
import { describeNetwork, networkInstructions } from '../../host/runs/network.ts'
import type { RunEvent } from '../../shared/protocol.ts'

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-egress-run-')))

afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Asks the proxy that it is given for a tunnel, and writes down the answer. */
const ASK = [
  'const { port } = new URL(process.argv[1]);',
  'const asking = require("http").request({ port, method: "CONNECT", path: "evil.example:443" });',
  'asking.on("connect", ({ statusCode }, socket) => {',
  'require("fs").appendFileSync("answers.txt", statusCode + "\\n"); socket.destroy() });',
  'asking.end()',
].join(' ')

/** A run of the demo on a plain process: the events, and what is left. */
async function run(prompt: string, allow: string[]) {
  const workspace = join(folder, 'work')
  const dataDir = join(folder, 'data')
  mkdirSync(workspace, { recursive: true })
  const conversation = await openConversation({
    workspace,
    settings: {
      ...readConfig(
        { AGENT_PROVIDER: 'demo', AGENT_ENGINE: 'process', CODEX_DATA_DIR: dataDir },
        folder,
      ),
      network: { allow },
    },
  })
  const events: RunEvent[] = []
  for await (const event of conversation.run(prompt)) events.push(event)
  const { network } = conversation
  await conversation.close()
  const requestLog = readFileSync(join(dataDir, 'requests.jsonl'), 'utf8')
    .split('\n')
    .filter((line) => line.includes('"target"'))
    .map((line) => JSON.parse(line))
  return { events, network, workspace, requestLog }
}

test('a run with a list of hosts has a proxy, says what it refused, and takes it down', async () => {
  const ask = `node -e '${ASK}' "$HTTPS_PROXY"`

  const { events, network, workspace, requestLog } = await run(`run: ${ask}; ${ask}`, [
    'service.test',
  ])

  expect(network).toBe('allow: service.test')
  expect(readFileSync(join(workspace, 'answers.txt'), 'utf8')).toBe('403\n403\n')
  expect(events.at(-1)).toMatchObject({ type: 'finished', status: 'done' })
  const notices = events.filter(({ type }) => type === 'notice')
  expect(notices).toMatchObject([
    { message: 'The sandbox asked for evil.example:443: this host is not in the list.' },
  ])
  expect(requestLog).toHaveLength(2)
  expect(requestLog[0]).toMatchObject({
    conversation: expect.any(String),
    target: 'evil.example:443',
    why: 'this host is not in the list',
  })
  expect(readdirSync(workspace)).toEqual(['answers.txt'])
})

test('a list that a program gives is held against the same rules', async () => {
  const { events } = await run('run: true', ['*.example.com'])

  expect(JSON.stringify(events.at(-1))).toContain('config-invalid')
  expect(JSON.stringify(events.at(-1))).toContain('has a wildcard')
})

test('people and the model are told what there is', () => {
  const allow = ['github.com', 'files.pythonhosted.org']

  expect(describeNetwork('none')).toBe('none')
  expect(describeNetwork('open')).toBe('open')
  expect(describeNetwork({ allow })).toBe('allow: github.com, files.pythonhosted.org')
  expect(networkInstructions('none')).toBe('')
  expect(networkInstructions('open')).toContain('has a network')
  for (const host of allow) expect(networkInstructions({ allow })).toContain(host)
})
