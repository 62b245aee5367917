import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { packageRoot } from '../../host/package-root.ts'
import { ownCodeNotice } from '../../host/workspace/own-code.ts'

const project = resolve('/home/me/project')

test.each([
  [join(project, 'node_modules', 'codexbox'), join('node_modules', 'codexbox')],
  [join(project, '..codexbox'), '..codexbox'],
  [project, '.'],
])('code of ours that lies in the workspace is told: %s', (ownCode, place) => {
  expect(ownCodeNotice(project, ownCode)).toContain(`lies in this workspace (${place})`)
})

test.each([resolve('/usr/lib/node_modules/codexbox'), resolve('/home/me/project-2'), resolve('/')])(
  'elsewhere there is nothing to tell: %s',
  (ownCode) => {
    expect(ownCodeNotice(project, ownCode)).toBeUndefined()
  },
)

test('the folder that a clone works in is no such workspace', () => {
  expect(ownCodeNotice(join(packageRoot, 'workspace'))).toBeUndefined()
  expect(ownCodeNotice(packageRoot)).toBeDefined()
})
