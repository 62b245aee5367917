import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'

/** Says a byte for each hundred connects. */
const SCRIPT = `
  const net = require('node:net')
  const [, path, how] = process.argv
  let connected = 0
  const connect = () => {
    const socket = net.connect({ path: path.replace('@', '\\0'), allowHalfOpen: true })
    socket.on('connect', () => {
      if (++connected % 100 === 0) process.stdout.write('.')
      if (how === 'stays') return connect()
      socket.write('P')
      socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('end', () => socket.destroy())
    socket.on('close', () => setImmediate(connect))
  }
  for (let count = 0; count < 20; count++) connect()
`

export interface Flood {
  /** Up to now. */
  readonly connects: number
  stop(): void
}

/**
 * Two processes that connect to a socket as fast as they can, as tools in a container may. Each connection `stays`
 * for as long as it may and says nothing, or says something and `leaves`. Resolves when the flood is there.
 */
export async function startFlood(socketPath: string, how: 'stays' | 'leaves'): Promise<Flood> {
  let connects = 0
  const children = [0, 1].map(() => {
    const child = spawn(process.execPath, ['-e', SCRIPT, socketPath, how])
    child.stdout.on('data', (chunk: Buffer) => {
      connects += 100 * chunk.length
    })
    return child
  })
  await Promise.all(children.map(({ stdout }) => firstChunk(stdout)))
  return {
    get connects() {
      return connects
    },
    stop() {
      for (const child of children) child.kill('SIGKILL')
    },
  }
}

const firstChunk = (stream: Readable) => new Promise((resolve) => stream.once('data', resolve))
