import { buildAgent, buildScan } from '../scripts/build.mjs'

/** Tests run these scripts as the files that ship, so they are built from what is on disk now. */
export async function setup(): Promise<void> {
  await buildAgent()
  await buildScan()
}
