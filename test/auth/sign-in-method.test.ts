import { expect, test } from 'vitest'
import { chooseSignInMethod, type SignInMethod } from '../../host/auth/sign-in/method.ts'

const display = { DISPLAY: ':0' }
const ssh = { SSH_CONNECTION: '10.0.0.1 1 10.0.0.2 22' }

test.each<
  [
    string,
    NodeJS.Dict<string>,
    NodeJS.Platform,
    boolean,
    SignInMethod | undefined,
    SignInMethod,
    boolean,
  ]
>([
  ['a desktop', display, 'linux', true, undefined, 'browser', true],
  ['Wayland', { WAYLAND_DISPLAY: 'wayland-0' }, 'linux', true, undefined, 'browser', true],
  ['a desktop, from a program', display, 'linux', false, undefined, 'browser', false],
  ['macOS', {}, 'darwin', true, undefined, 'browser', true],
  ['Windows', {}, 'win32', true, undefined, 'browser', true],
  ['WSL', { WSL_DISTRO_NAME: 'Debian' }, 'linux', true, undefined, 'browser', true],
  ['a server', {}, 'linux', true, undefined, 'device', false],
  ['an empty DISPLAY', { DISPLAY: '' }, 'linux', true, undefined, 'device', false],
  ['a server, from a program', {}, 'linux', false, undefined, 'device', false],
  ['another Unix without display', {}, 'freebsd', true, undefined, 'device', false],
  ['SSH', ssh, 'linux', true, undefined, 'device', false],
  ['SSH with X forwarding', { ...ssh, ...display }, 'linux', true, undefined, 'device', false],
  ['SSH to a Mac', { SSH_TTY: '/dev/ttys001' }, 'darwin', true, undefined, 'device', false],
  ['--paste', display, 'linux', true, 'paste', 'paste', true],
  ['--paste from a program', {}, 'linux', false, 'paste', 'paste', true],
  ['--device on a desktop', display, 'darwin', true, 'device', 'device', false],
  ['--import over SSH', ssh, 'linux', true, 'import', 'import', false],
  ['the browser, named outright, over SSH', ssh, 'linux', true, 'browser', 'browser', true],
])('the method: %s', (_, env, platform, isTerminal, asked, method, asks) => {
  expect(chooseSignInMethod(env, platform, isTerminal, asked)).toEqual({ method, asks })
})
