/** How a person can sign in. */
export type SignInMethod = 'browser' | 'paste' | 'device' | 'import'

export interface ChosenMethod {
  method: SignInMethod
  /** Whether the person can be asked for a line meanwhile. */
  asks: boolean
}

/**
 * The way that was asked for, else the one that works here: over SSH, and on a machine without a
 * display, no browser could come back to us, so a code for another device.
 */
export function chooseSignInMethod(
  env: NodeJS.Dict<string>,
  platform: NodeJS.Platform,
  isTerminal: boolean,
  asked?: SignInMethod,
): ChosenMethod {
  const way = asked ?? (hasBrowser(env, platform) ? 'browser' : 'device')
  switch (way) {
    case 'browser':
      return { method: way, asks: isTerminal }
    case 'paste':
      // Without a terminal another program may hand it in.
      return { method: way, asks: true }
    case 'device':
    case 'import':
      return { method: way, asks: false }
  }
}

function hasBrowser(env: NodeJS.Dict<string>, platform: NodeJS.Platform): boolean {
  if (env.SSH_CONNECTION || env.SSH_TTY) return false
  if (platform === 'darwin' || platform === 'win32') return true
  // In WSL the browser is that of Windows, which shares localhost.
  return Boolean(env.DISPLAY || env.WAYLAND_DISPLAY || env.WSL_DISTRO_NAME)
}
