export type SignInMethod = 'browser' | 'paste' | 'device' | 'import'

export interface ChosenMethod {
  method: SignInMethod
  /** Whether the user can type a line meanwhile. */
  asks: boolean
}

/**
 * The requested method; by default `browser`. Over SSH, and on a machine without a display, no browser
 * can reach the callback, so the default is `device`: a code for another device.
 */
export function chooseSignInMethod(
  env: NodeJS.Dict<string>,
  platform: NodeJS.Platform,
  isTerminal: boolean,
  requested?: SignInMethod,
): ChosenMethod {
  const method = requested ?? (hasBrowser(env, platform) ? 'browser' : 'device')
  switch (method) {
    case 'browser':
      return { method, asks: isTerminal }
    case 'paste':
      // Without a terminal another program may write the address to stdin.
      return { method, asks: true }
    case 'device':
    case 'import':
      return { method, asks: false }
  }
}

function hasBrowser(env: NodeJS.Dict<string>, platform: NodeJS.Platform): boolean {
  if (env.SSH_CONNECTION || env.SSH_TTY) return false
  if (platform === 'darwin' || platform === 'win32') return true
  // WSL uses the browser of Windows, which shares localhost.
  return Boolean(env.DISPLAY || env.WAYLAND_DISPLAY || env.WSL_DISTRO_NAME)
}
