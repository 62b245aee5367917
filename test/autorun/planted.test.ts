import { execFileSync } from 'node:child_process'
import { linkSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import type { Run } from '../../host/runs/run.ts'
import type { RunEvent } from '../../shared/protocol.ts'
import { callsAnswer, textAnswer } from '../fakes/model-server.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import { type Bench, openBench } from '../runs/observed-conversation.ts'
import { linkChains } from './hostile-folders.ts'

let bench: Bench

beforeEach(async () => {
  bench = await openBench()
})

afterEach(() => bench.clear())

async function eventsOf(run: Run): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for await (const event of run) events.push(event)
  return events
}

const isPlanted = (event: RunEvent) => event.type === 'planted'

test('what an agent has planted is said just before the end, once', async () => {
  writeFileSync(join(bench.workspace, '.envrc'), 'export A=1')
  bench.server.play(
    callsAnswer([
      'bash',
      { command: 'echo curl >> .envrc; mkdir .vscode; touch .vscode/tasks.json a' },
    ]),
    textAnswer('Done.'),
    textAnswer('Nothing more.'),
  )
  const conversation = await bench.open()

  const first = await eventsOf(conversation.run('Plant something.'))
  const second = await eventsOf(conversation.run('And now nothing.'))

  expect(first.slice(-2)).toMatchObject([
    { type: 'planted', paths: [{ path: '.envrc' }, { path: '.vscode/tasks.json' }], more: 0 },
    { type: 'finished', status: 'done' },
  ])
  expect(first.filter(isPlanted)).toHaveLength(1)
  expect(second.filter(isPlanted)).toEqual([])
})

test('also when the run fails', async () => {
  bench.server.play(callsAnswer(['bash', { command: 'touch .bashrc; kill -9 $PPID' }]), {
    status: 400,
    body: { error: { message: 'No.' } },
  })
  const conversation = await bench.open()

  const events = await eventsOf(conversation.run('Plant something and go.'))

  expect(events.slice(-2)).toMatchObject([
    { type: 'planted', paths: [{ path: '.bashrc' }] },
    { type: 'finished', status: 'failed' },
  ])
})

test('what is planted between two runs is said with the second', async () => {
  bench.server.play(textAnswer('One.'), textAnswer('Two.'))
  const conversation = await bench.open()
  await conversation.run('First.').result

  writeFileSync(join(bench.workspace, '.envrc'), 'x')

  expect((await eventsOf(conversation.run('Second.'))).filter(isPlanted)).toHaveLength(1)
})

test('a great number of them is counted', async () => {
  bench.server.play(
    callsAnswer([
      'bash',
      { command: 'mkdir .husky; for i in $(seq 60); do touch .husky/$i; done' },
    ]),
    textAnswer('Done.'),
  )
  const conversation = await bench.open()

  const [planted] = (await eventsOf(conversation.run('Many.'))).filter(isPlanted)

  expect(planted).toMatchObject({ more: 10 })
  expect(planted?.paths).toHaveLength(50)
})

test('no tool starts before it is known how the workspace was', async () => {
  // The plant lies where the look comes last, and the model answers at once.
  linkChains(bench.workspace, 300)
  mkdirSync(join(bench.workspace, 'a/b/c/d'), { recursive: true })
  bench.server.play(callsAnswer(['bash', { command: 'touch a/b/c/d/.envrc' }]), textAnswer('Done.'))
  const conversation = await bench.open()

  const events = await eventsOf(conversation.run('Plant something.'))

  expect(events.filter(isPlanted)).toMatchObject([{ paths: [{ path: 'a/b/c/d/.envrc' }] }])
})

test('another name of what is pinned is said before a tool starts', async () => {
  execFileSync('git', ['init', '-q'], { cwd: bench.workspace })
  linkSync(join(bench.workspace, '.git/config'), join(bench.workspace, 'innocent'))
  bench.server.play(
    callsAnswer(['bash', { command: 'echo "[core] fsmonitor = x" >> innocent' }]),
    textAnswer('Done.'),
  )
  const conversation = await bench.open()

  const events = await eventsOf(conversation.run('Go.'))

  const at = (type: string) => events.findIndex((event) => event.type === type)
  expect(events[at('notice')]).toMatchObject({
    message: expect.stringMatching(/^\.git\/config has/),
  })
  expect(at('notice')).toBeLessThan(at('tool.started'))
  expect(events.at(-2)).toMatchObject({ paths: [{ path: '.git/config', kind: 'git' }] })
})

test('what was not read is said with every run', async () => {
  writeFileSync(join(bench.workspace, '.envrc'), Buffer.alloc(2 * 1024 * 1024))
  bench.server.play(textAnswer('One.'), textAnswer('Two.'))
  const conversation = await bench.open()

  for (const prompt of ['First.', 'Second.']) {
    const events = await eventsOf(conversation.run(prompt))
    expect(events.filter(isPlanted)).toMatchObject([
      { paths: [{ path: '.envrc', why: 'it is larger than 1024 KiB', kind: 'unread' }] },
    ])
  }
  expect(await conversation.close()).toBeUndefined()
})

test('what a command that was left running writes is handed out when the conversation is closed', async () => {
  bench.server.play(textAnswer('One.'))
  const conversation = await bench.open()
  await conversation.run('First.').result
  writeFileSync(join(bench.workspace, '.envrc'), 'x')

  const left = await conversation.close()

  expect(left).toMatchObject({ paths: [{ path: '.envrc' }], kinds: [{ kind: 'enter', count: 1 }] })
  expect(await conversation.close()).toBe(left)
})

test('what it has written by the time that an idle container leaves is the first event of the next run', async () => {
  bench.server.play(textAnswer('One.'), textAnswer('Two.'))
  const conversation = await bench.open()
  await conversation.run('First.').result
  writeFileSync(join(bench.workspace, '.envrc'), 'x')
  const [start] = bench.starts
  start?.agent.stdin.end()
  await start?.agent.exited

  const events = await eventsOf(conversation.run('Second.'))

  expect(events.filter(isPlanted)).toHaveLength(1)
  expect(await conversation.close()).toBeUndefined()
})

test('a conversation without a run has nothing to say when it is closed', async () => {
  writeFileSync(join(bench.workspace, '.envrc'), 'x')

  expect(await (await bench.open()).close()).toBeUndefined()
})

test('a workspace that was replaced since it was opened gets no run', async () => {
  const conversation = await bench.open()
  renameSync(bench.workspace, `${bench.workspace}-away`)
  mkdirSync(bench.workspace)

  const end = await conversation.run('Look.').result

  expect(end).toMatchObject({ status: 'failed', error: { code: 'workspace-invalid' } })
  expect(bench.server.requests).toEqual([])
})

describeWithEngine('in a container', ({ docker, image, source }) => {
  afterAll(() => withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] }))

  test('the repository of the workspace is pinned, and what is planted beside it is said', async () => {
    execFileSync('git', ['init', '-q'], { cwd: bench.workspace })
    const config = join(bench.workspace, '.git', 'config')
    const before = readFileSync(config, 'utf8')
    bench.server.play(
      callsAnswer([
        'bash',
        {
          command:
            'for f in .git/config .git/hooks/pre-commit .envrc; do echo x >> $f || echo refused; done',
        },
      ]),
      textAnswer('Done.'),
    )
    const conversation = await bench.open({ engine: dockerEngine(docker, image, source) })

    const events = await eventsOf(conversation.run('Plant.'))

    expect(events.slice(-2)).toMatchObject([
      { type: 'planted', paths: [{ path: '.envrc' }], more: 0 },
      { type: 'finished', status: 'done' },
    ])
    expect(JSON.stringify(events).match(/Read-only file system/g)?.length).toBeGreaterThan(1)
    expect(readFileSync(config, 'utf8')).toBe(before)
    await conversation.close()
  })
})
