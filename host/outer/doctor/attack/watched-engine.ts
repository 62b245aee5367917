import { PassThrough, pipeline, type Readable, type Writable } from 'node:stream'
import type { AgentProcess, AgentSpec, Engine } from '../../../engine/engine.ts'

export interface Watch {
  onStart(spec: AgentSpec, agent: AgentProcess): void
  /** Called with each line for the container, before it is sent. */
  onLine(line: string): void
  /** Called with the container's raw stdout. */
  onOutput(chunk: Buffer): void
}

/** Wraps an engine so that `watch` sees the container's stdin and stdout. */
export function watchedEngine(engine: Engine, watch: Watch): Engine {
  return {
    ...engine,
    async start(spec) {
      const agent = await engine.start(spec)
      watch.onStart(spec, agent)
      return {
        ...agent,
        stdin: tappedWritable(linesTo(watch.onLine), agent.stdin),
        stdout: tappedReadable(watch.onOutput, agent.stdout),
      }
    },
  }
}

function tappedWritable(onChunk: (chunk: Buffer) => void, stdin: Writable): Writable {
  const front = new PassThrough({
    transform: (chunk, _encoding, done) => {
      onChunk(chunk)
      done(null, chunk)
    },
  })
  pipeline(front, stdin, ignoreError)
  return front
}

function tappedReadable(onChunk: (chunk: Buffer) => void, stdout: Readable): Readable {
  const back = new PassThrough({
    transform: (chunk, _encoding, done) => {
      onChunk(chunk)
      done(null, chunk)
    },
  })
  pipeline(stdout, back, ignoreError)
  return back
}

/** The stream itself reports errors to its user. */
function ignoreError(): void {}

function linesTo(onLine: (line: string) => void): (chunk: Buffer) => void {
  let rest = ''
  return (chunk) => {
    const lines = (rest + chunk.toString('utf8')).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(line)
  }
}
