import { signOut } from '../../auth/sign-out.ts'
import { fileTokenStore } from '../../auth/token-store.ts'
import { readConfig } from '../../config.ts'
import { Screen } from './screen.ts'

/** Signs out, here and at the service. */
export async function logoutCommand(): Promise<void> {
  const { dataDir, authIssuer } = readConfig()
  const result = await signOut({ store: fileTokenStore(dataDir), issuer: authIssuer })
  const screen = new Screen()
  switch (result.status) {
    case 'nobody':
      return screen.note('Nobody is signed in.')
    case 'revoked':
      return screen.note('Signed out. The sign-in is revoked and removed.', 'green')
    case 'not-revoked':
      return screen.note(
        `Signed out here: the sign-in is removed. It could not be revoked, though (${result.why}). To ` +
          'end it at the service too, open ChatGPT, Settings > Security, and log out of all devices.',
        'yellow',
      )
  }
}
