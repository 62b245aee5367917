import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Cleanup, startWorker, unprivileged } from './worker-process.ts'

const isRoot = process.getuid?.() === 0
const mounts = spawnSync('unshare', ['-m', 'true']).status === 0

const TOOLS = [
  ['write_file', (path: string, to: string) => ({ path, content: `${to}\n` })],
  [
    'apply_patch',
    (path: string, to: string) =>
      `*** Begin Patch\n*** Update File: ${path}\n@@\n-old\n+${to}\n*** End Patch`,
  ],
] as const

interface Scene {
  options?: Parameters<typeof startWorker>[1]
  /** Makes `folder/file`, which is there already, special. */
  prepare: (file: string) => void
}

const MOUNTED: Scene = {
  // Only the worker sees the mount. Its fourth argument is the workspace.
  options: {
    wrapped:
      'exec unshare -m sh -c \'until [ -e "$4/ready" ]; do sleep 0.05; done; ' +
      'mount --bind "$4/source" "$4/folder/file" && exec "$@"\' sh "$@"',
  },
  prepare: (file) => {
    const at = (name: string) => join(file, '../..', name)
    writeFileSync(at('source'), 'old\n')
    writeFileSync(at('ready'), '')
  },
}

const SCENES: [string, Scene][] = [
  ['has a second name', { prepare: (file) => linkSync(file, `${file}.second`) }],
  ...(mounts ? [['is a mount', MOUNTED] satisfies [string, Scene]] : []),
  ...(isRoot
    ? [
        [
          'is of another owner',
          { prepare: (file: string) => chownSync(file, 1000, 1001) },
        ] satisfies [string, Scene],
      ]
    : []),
  [
    'is in a folder that cannot be written to',
    {
      options: { user: unprivileged },
      prepare: (file) => {
        const { uid = -1, gid = -1 } = unprivileged as { uid?: number; gid?: number }
        chownSync(file, uid, gid)
        chmodSync(join(file, '..'), 0o555)
      },
    },
  ],
]

/** A worker whose workspace has `folder/file`, with `old` in it. */
function workerWith(t: Cleanup, { options = {}, prepare }: Scene) {
  const worker = startWorker(t, options)
  const folder = join(worker.workspace, 'folder')
  const file = join(folder, 'file')
  mkdirSync(folder)
  writeFileSync(file, 'old\n')
  prepare(file)
  return { ...worker, folder, file }
}

describe.each(TOOLS)('by %s', (tool, input) => {
  test.for(SCENES)('a file that %s stays the same file', async ([, scene], t) => {
    const { call, folder, file } = workerWith(t, scene)
    const names = readdirSync(folder)
    const before = lstatSync(file)

    const result = await call(tool, input('folder/file', 'new'))
    const seen = await call('bash', { command: 'cat folder/file' })

    expect(result).toMatchObject({ ok: true })
    expect(seen.output).toMatch(/\nnew\n?$/)
    const { ino, uid, gid, mode, nlink } = before
    expect(lstatSync(file)).toMatchObject({ ino, uid, gid, mode, nlink })
    expect(readdirSync(folder)).toEqual(names)
    chmodSync(folder, 0o755)
  })

  test('a file that is read-only is not changed, and the mode is named', async (t) => {
    const { call, file } = workerWith(t, { prepare: (file) => chmodSync(file, 0o444) })

    const result = await call(tool, input('folder/file', 'new'))

    expect(result).toMatchObject({
      ok: false,
      output: expect.stringMatching(/read-only.*0444.*chmod/),
    })
    expect(readFileSync(file, 'utf8')).toBe('old\n')
  })

  test('a file that is written in place is whole again when the disk is full', async (t) => {
    const { call, folder, file } = workerWith(t, {
      options: { wrapped: 'ulimit -f 64; exec "$@"' },
      prepare: (file) => linkSync(file, `${file}.second`),
    })

    const result = await call(tool, input('folder/file', 'x'.repeat(1024 * 1024)))

    expect(result).toMatchObject({ ok: false, output: expect.stringContaining('EFBIG') })
    expect(readFileSync(file, 'utf8')).toBe('old\n')
    expect(readdirSync(folder)).toEqual(['file', 'file.second'])
  })
})

test('a file that was written in place is put back when a later one of the patch cannot be written', async (t) => {
  const { call, file } = workerWith(t, { prepare: (file) => linkSync(file, `${file}.second`) })
  const changes = ['*** Update File: folder/file', '@@', '-old', '+new']
  // That `x` is a folder shows at the last moment only.
  const more = ['*** Add File: x', '+1', '*** Add File: x/y', '+1']

  const result = await call(
    'apply_patch',
    ['*** Begin Patch', ...changes, ...more, '*** End Patch'].join('\n'),
  )

  expect(result.output).toMatch(/^apply_patch failed: .*\nNothing was changed\.$/)
  expect(readFileSync(`${file}.second`, 'utf8')).toBe('old\n')
})
