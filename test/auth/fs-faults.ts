import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { sep } from 'node:path'

/** What happens at the chosen call: it fails with this code, or the process dies. */
export type Fault = (typeof CODES)[number] | 'die'

const CODES = ['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EACCES', 'EMFILE', 'EINVAL'] as const

export interface FaultReport {
  /** How many calls there were, and which one went wrong, if it came to that. */
  calls: number
  faulted: string | undefined
}

type Fn = (this: unknown, ...args: never[]) => unknown

const PROMISED = ['open', 'rename', 'unlink', 'readdir', 'lstat', 'readFile'] as const
const SYNC = ['openSync', 'mkdirSync', 'statSync', 'chmodSync'] as const
const BY_DESCRIPTOR = ['fstatSync', 'readFileSync', 'fchmodSync', 'writeSync', 'closeSync'] as const
const OF_HANDLE = ['writeFile', 'truncate', 'sync', 'stat', 'close'] as const

/**
 * Runs `work` with fault number `at` (from 1) among the file-system calls about `folder`. The real
 * functions of Node are wrapped, where every import sees it: nothing of ours knows of it.
 */
export async function withFault(
  folder: string,
  at: number,
  fault: Fault,
  work: () => Promise<unknown>,
): Promise<FaultReport> {
  const report: FaultReport = { calls: 0, faulted: undefined }
  const descriptors = new Set<unknown>()
  const undo: (() => void)[] = []

  const isChosen = (name: string) => {
    report.calls++
    if (report.calls !== at) return false
    report.faulted = name
    return true
  }
  const fail = (name: string) => {
    if (fault === 'die') {
      fs.writeSync(1, `died at ${name}\n`)
      process.kill(process.pid, 'SIGKILL')
    }
    return Object.assign(new Error(`${fault}: ${name}`), { code: fault, syscall: name })
  }
  const isInside = (path: unknown) =>
    typeof path === 'string' && (path === folder || path.startsWith(folder + sep))

  const note = (opening: Promise<fs.promises.FileHandle>) => {
    opening.then(({ fd }) => descriptors.add(fd)).catch(() => {})
  }

  const wrap = (owner: object, name: string, make: (real: Fn) => Fn) => {
    const real = Reflect.get(owner, name) as Fn
    Reflect.set(owner, name, make(real))
    undo.push(() => Reflect.set(owner, name, real))
  }

  const handle = await fs.promises.open(process.execPath)
  const prototype = Object.getPrototypeOf(handle) as object
  await handle.close()

  for (const name of PROMISED) {
    wrap(
      fs.promises,
      name,
      (real) =>
        function (this: unknown, ...args) {
          if (!isInside(args[0])) return real.apply(this, args)
          if (isChosen(name)) return Promise.reject(fail(name))
          const result = real.apply(this, args)
          if (name === 'open') note(result as Promise<fs.promises.FileHandle>)
          return result
        },
    )
  }
  for (const name of SYNC) {
    wrap(
      fs,
      name,
      (real) =>
        function (this: unknown, ...args) {
          if (isInside(args[0]) && isChosen(name)) throw fail(name)
          const result = real.apply(this, args)
          if (name === 'openSync' && isInside(args[0])) descriptors.add(result)
          return result
        },
    )
  }
  for (const name of BY_DESCRIPTOR) {
    wrap(
      fs,
      name,
      (real) =>
        function (this: unknown, ...args) {
          const isOurs = descriptors.has(args[0])
          const fails = isOurs && isChosen(name)
          // A close that fails has closed all the same.
          if (name === 'closeSync' && isOurs) descriptors.delete(args[0])
          if (fails && name === 'closeSync') real.apply(this, args)
          if (fails && name === 'writeSync') real.apply(this, halfOf(args))
          if (fails) throw fail(name)
          return real.apply(this, args)
        },
    )
  }
  for (const name of OF_HANDLE) {
    wrap(
      prototype,
      name,
      (real) =>
        async function (this: unknown, ...args) {
          if (name === 'close') descriptors.delete((this as fs.promises.FileHandle).fd)
          if (!isChosen(name)) return real.apply(this, args)
          if (name === 'close') await real.apply(this, args)
          if (name === 'writeFile') await real.apply(this, halfOf(args))
          throw fail(name)
        },
    )
  }
  syncBuiltinESMExports()
  try {
    await work()
  } finally {
    for (const restore of undo.reverse()) restore()
    syncBuiltinESMExports()
  }
  return report
}

/** A disk that is full takes the first bytes of a write. */
function halfOf(args: unknown[]): never[] {
  const [data, ...rest] = args
  if (typeof data === 'string') return [data.slice(0, data.length / 2)] as never[]
  const [bytes, offset, length, position] = rest
  return [data, bytes, offset, Math.floor(Number(length) / 2), position] as never[]
}
