import { createRequire } from 'node:module'

/**
 * Loads a module of Node when it is first needed. In a container the host waits for the script to be loaded, and some
 * modules take milliseconds. From any path, as the container script has no `import.meta.url`.
 */
export const loadModule = createRequire(process.execPath)
