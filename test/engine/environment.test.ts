import { expect, test } from 'vitest'
import { agentEnvironment, toolEnvironment } from '../../host/engine/environment.ts'
import { environmentOf } from '../../host/engine/sandbox-policy.ts'

const USUAL = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const OURS = ['HOME=/home/agent', 'LANG=C.UTF-8', 'GIT_TERMINAL_PROMPT=0', 'PAGER=cat']

test('the agent gets no value of a variable of the image', () => {
  const environment = [
    'NODE_OPTIONS=--require=/workspace/.pnp.cjs',
    'LD_PRELOAD=/workspace/a.so',
    'EMPTY=',
    'BASH_FUNC_ls%%=() { evil; }',
    'WITHOUT_VALUE',
    '__proto__=x',
  ]

  expect(environmentOf({ environment, volumes: [] }).sort()).toEqual(
    [
      ...OURS,
      `PATH=${USUAL}`,
      'NODE_OPTIONS=',
      'LD_PRELOAD=',
      'EMPTY=',
      'BASH_FUNC_ls%%=',
      'WITHOUT_VALUE=',
      '__proto__=',
    ].sort(),
  )
})

test('ours have our values, whatever the image says', () => {
  const environment = ['HOME=/workspace', 'LANG=de_DE', 'GIT_TERMINAL_PROMPT=1', 'PAGER=evil']

  expect(environmentOf({ environment, volumes: [] })).toEqual([...OURS, `PATH=${USUAL}`])
})

test.each([
  ['/workspace/bin:/opt/node/bin:/usr/bin', '/opt/node/bin:/usr/bin'],
  [
    '/usr/local/nvm/versions/node/v22.1.0/bin:/bin',
    '/usr/local/nvm/versions/node/v22.1.0/bin:/bin',
  ],
  ['bin:./node_modules/.bin:..:/usr/bin', '/usr/bin'],
  ['/usr/bin::', '/usr/bin'],
  ['/usr/../workspace/bin:/./workspace:/workspace/../usr/bin', '/workspace/../usr/bin'],
  ['//workspace/bin:/usr/bin', '/usr/bin'],
  ['/tmp/bin:/var/tmp/bin:/home/agent/.local/bin:/home/agents/bin', '/home/agents/bin'],
  ['/run/bin:/dev/shm:/dev:/proc/self/cwd:/sys/fs/cgroup:/usr/bin', '/usr/bin'],
  ['/data/bin:/database/bin', '/database/bin'],
  ['/workspaces/bin:/..workspace/bin', '/workspaces/bin:/..workspace/bin'],
  ['/workspace/bin', USUAL],
  ['', USUAL],
])('of the path %j the agent looks for programs in %j', (path, expected) => {
  expect(environmentOf({ environment: [`PATH=${path}`], volumes: ['/data/'] })).toContain(
    `PATH=${expected}`,
  )
})

test('where every usual folder can be written to, the agent looks for programs in none of them', () => {
  expect(
    environmentOf({ environment: ['PATH=/usr/local/bin'], volumes: ['/usr', '/bin', '/sbin'] }),
  ).toContain('PATH=/')
  expect(agentEnvironment({ environment: [], volumes: [] }, ['/'])).toContain('PATH=/')
})

test('the commands of tools get all the variables of the image but those that are ours', () => {
  const environment = [
    'PATH=/workspace/bin:/usr/bin',
    'NODE_OPTIONS=--require=/workspace/.pnp.cjs',
    'GREETING=a b=c',
    'EMPTY=',
    'HOME=/root',
    'PAGER=less',
    'WITHOUT_VALUE',
    '=nameless',
    'USER=node',
  ]

  expect(toolEnvironment({ environment, volumes: [] }, 'agent')).toEqual({
    PATH: '/workspace/bin:/usr/bin',
    NODE_OPTIONS: '--require=/workspace/.pnp.cjs',
    GREETING: 'a b=c',
    EMPTY: '',
    WITHOUT_VALUE: '',
    USER: 'agent',
    LOGNAME: 'agent',
  })
})
