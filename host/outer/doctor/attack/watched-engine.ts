import { PassThrough, pipeline, type Readable, type Writable } from 'node:stream'
import type { AgentProcess, AgentSpec, Engine } from '../../../engine/engine.ts'

export interface Watch {
  onStart(spec: AgentSpec, agent: AgentProcess): void
  /** Each line for the container, before it gets it. */
  onLine(line: string): void
  /** What came out of it, as it came. */
  onOutput(chunk: Buffer): void
}

/** The engine as it is, with somebody who looks at what goes in and out. */
export function watchedEngine(engine: Engine, watch: Watch): Engine {
  return {
    ...engine,
    async start(spec) {
      const agent = await engine.start(spec)
      watch.onStart(spec, agent)
      return {
        ...agent,
        stdin: readBy(linesTo(watch.onLine), agent.stdin),
        stdout: seenBy(watch.onOutput, agent.stdout),
      }
    },
  }
}

function readBy(see: (chunk: Buffer) => void, stdin: Writable): Writable {
  const front = new PassThrough({
    transform: (chunk, _encoding, done) => {
      see(chunk)
      done(null, chunk)
    },
  })
  pipeline(front, stdin, gone)
  return front
}

function seenBy(see: (chunk: Buffer) => void, stdout: Readable): Readable {
  const back = new PassThrough({
    transform: (chunk, _encoding, done) => {
      see(chunk)
      done(null, chunk)
    },
  })
  pipeline(stdout, back, gone)
  return back
}

/** Whoever uses the stream is told by the stream. */
function gone(): void {}

function linesTo(onLine: (line: string) => void): (chunk: Buffer) => void {
  let rest = ''
  return (chunk) => {
    const lines = (rest + chunk.toString('utf8')).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(line)
  }
}
