import { createRequire } from 'node:module'

/**
 * Loads a module of Node on first use. The host waits while the container script loads, and some modules take
 * milliseconds. The path given to `createRequire` is arbitrary: the container script has no `import.meta.url`.
 */
export const loadModule = createRequire(process.execPath)
