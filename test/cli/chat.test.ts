import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readSession } from '../../host/runs/session-log.ts'
import {
  callsAnswer,
  type ModelServer,
  startModelServer,
  textAnswer,
} from '../fakes/model-server.ts'
import { asking, type Home, openHome } from './cli-process.ts'

const PROMPT = '› '
const SHELL_PROMPT = 'the shell: '
const CTRL_C = '\x03'
const CTRL_D = '\x04'
const CTRL_Z = '\x1a'

/** util-linux has a `script` that gives a command a terminal; so have others, with other options. */
const hasScript = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes(
  'util-linux',
)

let home: Home
let server: ModelServer
let terminals: ChildProcess[]

beforeEach(async () => {
  home = openHome()
  server = await startModelServer([])
  terminals = []
})

afterEach(async () => {
  for (const terminal of terminals) terminal.kill('SIGKILL')
  await server.close()
  home.clear()
})

const chatCommand = (args = '--session mine', leader = '') =>
  `'${process.execPath}' ${leader} '${home.cli}' ${args}`

/** The chat in a terminal, with somebody who types and reads. */
const openChat = (args?: string, env?: NodeJS.ProcessEnv) =>
  openTerminal(`exec ${chatCommand(args)}`, env)

function openTerminal(command: string, env: NodeJS.ProcessEnv = {}) {
  const terminal = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    cwd: home.workspace,
    env: {
      ...home.env,
      TERM: 'xterm',
      SHELL: '/bin/sh',
      PS1: SHELL_PROMPT,
      ...asking(server),
      ...env,
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  terminals.push(terminal)
  let screen = ''
  let read = 0
  const more = () => once(terminal.stdout, 'data')
  terminal.stdout.setEncoding('utf8').on('data', (text) => {
    screen += text
  })
  return {
    type: (text: string) => void terminal.stdin.write(text),
    /** All that was shown so far. */
    shown: () => screen,
    /** Waits until `text` is shown, behind what was waited for before. */
    async sees(text: string): Promise<void> {
      while (screen.indexOf(text, read) < 0) await more()
      read = screen.indexOf(text, read) + text.length
    },
    /** The window is closed: programs get SIGHUP, and their terminal is gone. */
    close: () => void terminal.kill('SIGKILL'),
    exit: once(terminal, 'exit').then(([code]) => code),
  }
}

const prompts = () =>
  readSession(home.dataDir, 'mine').flatMap((line) =>
    line.type === 'item' && line.item.role === 'user'
      ? [(line.item.content as { text: string }[])[0]?.text]
      : [],
  )

const LEADER = `
const child = require('child_process').spawn(process.execPath, process.argv.slice(2), { stdio: 'inherit' })
process.on('SIGHUP', () => child.kill('SIGHUP'))
child.on('exit', (...how) => { require('fs').writeFileSync('ended', how.map(String).join(' ')); process.kill(process.pid, 'SIGKILL') })
`

describe.skipIf(!hasScript)('a chat in a terminal', () => {
  test('goes on after Ctrl-Z and fg, with what was typed by then', async () => {
    server.play(textAnswer('One.'))
    const shell = openTerminal('exec bash --norc --noprofile -i')
    await shell.sees(SHELL_PROMPT)
    shell.type(`${chatCommand()}\r`)
    await shell.sees(PROMPT)

    shell.type('\x1b[200~Above.\rFirst \x1b[201~')
    await shell.sees('First ')
    shell.type(CTRL_Z)
    await shell.sees('Stopped')
    await shell.sees(SHELL_PROMPT)
    shell.type('fg\r')
    await shell.sees(`${PROMPT}Above.`)
    await shell.sees('First ')
    shell.type('words.\r')
    await shell.sees('One.')
    await shell.sees(PROMPT)
    shell.type(CTRL_D)

    await shell.sees(SHELL_PROMPT)
    shell.type('echo "ended with $?"; exit\r')
    await shell.sees('ended with 0')
    expect(prompts()).toEqual(['Above.\nFirst words.'])
  })

  test('a terminal that is closed in a run ends it with exit code 129, and the log is whole', async () => {
    server.play(callsAnswer(['bash', { command: 'exec sleep 60' }]))
    const ended = join(home.workspace, 'ended')
    // The first program of a terminal gets the signal, which it hands on, and outlives it.
    const leader = join(home.workspace, 'leader.cjs')
    writeFileSync(leader, LEADER)
    const chat = openTerminal(`exec ${chatCommand('--session mine run Go', leader)}`)
    await chat.sees('sleep 60')

    chat.close()

    const status = () => existsSync(ended) && readFileSync(ended, 'utf8')
    await expect.poll(status, { timeout: 10_000 }).toBe('129 null')
    expect(readSession(home.dataDir, 'mine').at(-1)).toMatchObject({ status: 'interrupted' })
  })

  test('has many runs in one session, until its input ends (Ctrl-D)', async () => {
    server.play(textAnswer('One.'), textAnswer('Two.'))
    const chat = openChat()

    await chat.sees(PROMPT)
    chat.type('First.\r')
    await chat.sees('One.')
    await chat.sees(PROMPT)
    chat.type('Second.\r')
    await chat.sees('Two.')
    await chat.sees(PROMPT)
    chat.type(CTRL_D)

    await chat.sees('Go on later: codexbox --session mine')
    expect(await chat.exit).toBe(0)
    expect(prompts()).toEqual(['First.', 'Second.'])
    expect(server.requests).toHaveLength(2)
  })

  test('is not needed for one run: its prompt can be typed, which is asked for', async () => {
    server.play(textAnswer('One.'))
    const chat = openChat('run --session mine')

    await chat.sees('Type the prompt, then Enter and Ctrl-D.')
    chat.type(`First.\r${CTRL_D}`)

    await chat.sees('One.')
    expect(await chat.exit).toBe(0)
    expect(prompts()).toEqual(['First.\n'])
  })

  test('goes on after Ctrl-C has stopped a run', async () => {
    server.play(callsAnswer(['bash', { command: 'sleep 60' }]), textAnswer('Two.'))
    const chat = openChat()

    await chat.sees(PROMPT)
    chat.type('First.\r')
    await chat.sees('bash sleep 60')
    chat.type(CTRL_C)
    await chat.sees('interrupted')
    await chat.sees(PROMPT)
    chat.type('Second.\r')
    await chat.sees('Two.')
    await chat.sees(PROMPT)
    chat.type(CTRL_C)

    expect(await chat.exit).toBe(0)
    expect(prompts()).toEqual(['First.', 'Second.'])
  })

  test('tells the agent what is typed while it works', async () => {
    server.play(callsAnswer(['bash', { command: 'until [ -e go ]; do sleep 0.1; done' }]))
    server.play(textAnswer('Both are done.'))
    const chat = openChat()

    await chat.sees(PROMPT)
    chat.type('First.\r')
    await chat.sees('until')
    chat.type('And the tests as well.\r')
    await chat.sees('told: And the tests as well.')
    writeFileSync(join(home.workspace, 'go'), '')
    await chat.sees('Both are done.')
    await chat.sees(PROMPT)
    chat.type(CTRL_D)

    expect(await chat.exit).toBe(0)
    expect(prompts()).toEqual(['First.', 'And the tests as well.'])
    expect(server.requests).toHaveLength(2)
  })

  test('takes a paste of several lines for one prompt, which Enter sends', async () => {
    server.play(textAnswer('One.'), textAnswer('Two.'))
    const chat = openChat()
    const paste = (...lines: string[]) => `\x1b[200~${lines.join('\r')}\x1b[201~`

    await chat.sees(PROMPT)
    chat.type(paste('\tif x:', '', '\t\treturn'))
    await chat.sees('return')
    chat.type(' # why?\r')
    await chat.sees('One.')
    await chat.sees(PROMPT)
    // With the ends of lines in it, beside what is typed, and ahead.
    chat.type(`See: ${paste('a', 'b', '')}\r${paste('/exit', 'c')}\r`)
    await chat.sees('Two.')
    chat.type(CTRL_D)

    await chat.exit
    expect(prompts().slice(0, 2)).toEqual(['\tif x:\n\n\t\treturn # why?', 'See: a\nb\n'])
  })

  test('drops a paste that is not sent, and leaves the terminal as it was', async () => {
    const chat = openChat()

    await chat.sees(PROMPT)
    chat.type('\x1b[200~a\rb\x1b[201~')
    await chat.sees('b')
    chat.type(CTRL_C)

    expect(await chat.exit).toBe(0)
    expect(server.requests).toEqual([])
    expect(chat.shown().lastIndexOf('\x1b[?2004l')).toBeGreaterThan(
      chat.shown().lastIndexOf('\x1b[?2004h'),
    )
  })

  test.each([
    ['a chat', '--session mine'],
    ['a run', 'run --session mine'],
    ['doctor', 'doctor --offline'],
  ])('on a terminal that is dumb gets no escape sequences: %s', async (_, args) => {
    server.play(callsAnswer(['bash', { command: 'sleep 0.2' }]), textAnswer('One.'))
    const chat = openChat(args, { TERM: 'dumb' })
    chat.type(`First.\r${CTRL_D}`)
    if (args.startsWith('--')) {
      await chat.sees('One.')
      chat.type(CTRL_D)
    }
    await chat.exit

    expect(chat.shown()).not.toContain('\x1b')
    expect(chat.shown()).toMatch(args.startsWith('doctor') ? /node/i : /One\.\r\n/)
  })

  test('on a terminal that is dumb is left in good order by Ctrl-C', async () => {
    const chat = openChat('--session mine', { TERM: 'dumb' })

    await chat.sees(PROMPT)
    chat.type(CTRL_C)

    await chat.sees('Go on later')
    expect(await chat.exit).toBe(0)
  })

  test('takes what is typed ahead, line by line', async () => {
    server.play(textAnswer('One.'), textAnswer('Two.'), textAnswer('Three.'))
    const chat = openChat()

    await chat.sees(PROMPT)
    chat.type('First.\rSecond.\rTh')
    await chat.sees('Two.')
    await chat.sees(`${PROMPT}`)
    chat.type(`ird.\r${CTRL_D}`)

    expect(await chat.exit).toBe(0)
    expect(prompts()).toEqual(['First.', 'Second.', 'Third.'])
  })
})
