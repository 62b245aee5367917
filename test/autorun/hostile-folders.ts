import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

/** Links that each lead through as many others as the system follows: a look at this takes all its time. */
export function linkChains(folder: string, count = 30_000): void {
  const chain = join(folder, 'chain')
  mkdirSync(join(chain, 'end/deep/er'), { recursive: true })
  symlinkSync('end/deep/er', join(chain, 'l0'))
  for (let i = 1; i < 38; i++) symlinkSync(`l${i - 1}/../../../l${i - 1}`, join(chain, `l${i}`))
  const many = join(folder, 'many')
  mkdirSync(many)
  for (let i = 0; i < count; i++) symlinkSync('../chain/l5/../../../l5', join(many, String(i)))
}

/** Texts on which a pattern that tries every beginning takes time by the square. */
export function quadraticTexts(folder: string): void {
  const texts = [
    '\n'.repeat(65_000),
    `gitdir: ${'\n'.repeat(500_000)}x`,
    `[${'a'.repeat(400_000)}]\n${'a\n'.repeat(200_000)}`,
    ' '.repeat(65_000),
    '[a "'.repeat(16_000),
    ' filter'.repeat(9_000),
  ]
  for (const [i, text] of texts.entries()) {
    for (let j = 0; j < 3_000_000 / text.length; j++) {
      const at = join(folder, `q${i}`, `p${j}`)
      mkdirSync(join(at, 'file'), { recursive: true })
      writeFileSync(join(at, 'file/.git'), text)
      mkdirSync(join(at, '.git'), { recursive: true })
      for (const name of [
        '.gitattributes',
        'Cargo.toml',
        'pyproject.toml',
        '.git/config',
        '.git/commondir',
      ]) {
        writeFileSync(join(at, name), text)
      }
      writeFileSync(join(at, 'package.json'), `{"scripts":${'['.repeat(30_000)}`)
    }
  }
}

/** An index of 16 MB in which every entry is a submodule with a long name. */
export function largeIndex(folder: string): void {
  const entry = Buffer.alloc(40 + 20 + 2 + 1 + 2)
  entry.writeUInt32BE(0o160000, 24)
  entry.writeUInt16BE(0xfff, 60)
  entry.write('a', 63)
  const count = Math.floor((16 * 1024 * 1024) / entry.length)
  const header = Buffer.from('DIRC\0\0\0\x04\0\0\0\0', 'latin1')
  header.writeUInt32BE(count, 8)
  const index = Buffer.concat([header, ...Array<Buffer>(count).fill(entry), Buffer.alloc(20)])
  mkdirSync(join(folder, '.git'), { recursive: true })
  writeFileSync(join(folder, '.git/index'), index)
}

/** Folders in folders, as deep as a look goes and deeper. */
export function deepFolders(folder: string, count = 150): void {
  for (let i = 0; i < count; i++) {
    const at = join(folder, `d${i}`, 'deep/'.repeat(70))
    mkdirSync(at, { recursive: true })
    writeFileSync(join(at, '.envrc'), '')
  }
}

/** Links that lead out, in again, in circles and nowhere. */
export function manyLinks(folder: string, count = 20_000): void {
  const targets = ['/etc', `../${basename(folder)}/.`, '.', 'missing/x', '/proc/self/cwd']
  for (let i = 0; i < count; i++) {
    const at = join(folder, `l${Math.floor(i / 1000)}`)
    if (i % 1000 === 0) mkdirSync(at)
    symlinkSync(targets[i % targets.length] ?? '', join(at, `${i}`))
  }
}
