import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { layOutSampleProject, sampleBug } from '../host/outer/demo/sample-project.ts'
import { bash } from './providers/demo-client.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sample-project-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

test('a missing folder is made and filled', async () => {
  const missing = join(folder, 'a', 'b')

  expect(await layOutSampleProject(missing)).toBe(true)

  expect((await readdir(missing)).sort()).toEqual([
    'README.md',
    'stand.mjs',
    'till.mjs',
    'till.test.mjs',
  ])
})

test.each(['.hidden', 'README.md'])('a folder with %s in it is left alone', async (name) => {
  await writeFile(join(folder, name), 'mine')

  expect(await layOutSampleProject(folder)).toBe(false)

  expect(await readdir(folder)).toEqual([name])
  expect(await readFile(join(folder, name), 'utf8')).toBe('mine')
})

test('a folder with only an empty folder in it is left alone', async () => {
  await mkdir(join(folder, 'src'))

  expect(await layOutSampleProject(folder)).toBe(false)
})

test('a path that cannot be a folder is refused with its name', async () => {
  const file = join(folder, 'file')
  await writeFile(file, '')

  await expect(layOutSampleProject(join(file, 'sub'))).rejects.toMatchObject({
    code: 'workspace-invalid',
    message: expect.stringContaining(file),
  })
})

test('exactly one of its tests fails, and the known correction mends it', async () => {
  await layOutSampleProject(folder)

  const before = await bash('node --test', folder)
  const till = join(folder, 'till.mjs')
  const source = await readFile(till, 'utf8')
  await writeFile(till, source.replace(sampleBug.wrong, sampleBug.right))
  const after = await bash('node --test', folder)

  expect(source.split(sampleBug.wrong)).toHaveLength(2)
  expect(before).toMatch(/^exit code: 1\n/)
  expect(before).toMatch(/ pass 4\n[\s\S]* fail 1\n/)
  expect(after).toMatch(/^exit code: 0\n/)
  expect(after).toMatch(/ pass 5\n[\s\S]* fail 0\n/)
})

test('the stand can be run as its readme says', async () => {
  await layOutSampleProject(folder)

  expect(await bash('node stand.mjs', folder)).toMatch(/total +3\.20\npaid +5\.00\nchange +1\.80/)
})
