/** Folders that are neither listed nor searched: large, and not written by hand. */
export const LEFT_OUT_FOLDERS: readonly string[] = ['.git', 'node_modules']
