import { buildAgent } from '../scripts/build.mjs'

/** Tests run the container script as the file that ships, so it is built from what is on disk now. */
export async function setup(): Promise<void> {
  await buildAgent()
}
