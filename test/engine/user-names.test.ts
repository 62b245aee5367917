import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import type { Engine } from '../../host/engine/engine.ts'
import { derivedImages } from '../derived-images.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import { cleanUp, startAgent, until } from './engine-contract.ts'

const ASK = [
  'whoami',
  'id -gn',
  'groups',
  "node -p 'os.userInfo().username'",
  "python3 -c 'import getpass, pwd, os; print(getpass.getuser(), pwd.getpwuid(os.getuid()).pw_dir)'",
  'echo $USER $LOGNAME ~',
  'stat -c "%U %G" /usr /workspace/.answers',
  'git config --global user.useConfigOnly true; git var GIT_COMMITTER_IDENT 2>&1 | grep -c "no name" || true',
]

describeWithEngine('the user of the tools', ({ docker, image, source, isRootless }) => {
  const usual = dockerEngine(docker, image, source)
  const { derive } = derivedImages(docker, image)
  const canChoose = process.getuid?.() === 0 && !isRootless

  afterEach(cleanUp)
  afterAll(() => withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] }))

  const users = canChoose ? [1000, 501, 200_000, 65_534] : [process.getuid?.() ?? 0]
  test.each(users)('has a name and a group where its number is %i', async (uid) => {
    const user = { uid, gid: uid === 501 ? 20 : uid }
    const engine: Engine = {
      ...usual,
      start: (spec) => {
        chmodSync(spec.workspace.path, 0o777)
        return usual.start(canChoose ? { ...spec, user } : spec)
      },
    }
    const { begin, events, workspace } = await startAgent(engine)
    begin(`run: (${ASK.join('\n')}\n) > .answers 2>&1`)
    await until(events, 'finished')

    expect(readFileSync(join(workspace, '.answers'), 'utf8').trim().split('\n')).toEqual([
      ...['agent', 'agent', 'agent', 'agent', 'agent /home/agent', 'agent agent /home/agent'],
      ...['root root', 'agent agent', '0'],
    ])
  })
  test('goes without them in an image that has links in their place', async () => {
    const linked = await derive([
      'RUN mv /etc/passwd /usr/share/passwd && ln -s ../usr/share/passwd /etc/passwd',
      'RUN mkdir /names && mv /etc/group /names/group && ln -s /names/group /etc/group',
    ])
    const engine = dockerEngine(docker, linked, source)
    for (let time = 0; time < 2; time++) {
      const { begin, events, workspace } = await startAgent(engine)
      begin('run: (echo $USER; stat -c %U /usr; cat /etc/passwd | wc -l) > .answers 2>&1')
      await until(events, 'finished')

      const [name, owner, lines] = readFileSync(join(workspace, '.answers'), 'utf8').split('\n')
      expect([name, owner]).toEqual(['agent', 'root'])
      expect(Number(lines)).toBeGreaterThan(5)
    }
  })
})
