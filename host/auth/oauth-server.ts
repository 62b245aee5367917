import { type AuthorizationServer, allowInsecureRequests, type Client } from 'oauth4webapi'
import { CLIENT_ID } from './client-identity.ts'
import { issuerUrl } from './token-endpoint.ts'

/** This client, in the type of the OAuth library. */
export const oauthClient: Client = { client_id: CLIENT_ID }

/** The issuer, in the type of the OAuth library. */
export function oauthServer(issuer: URL): AuthorizationServer {
  return {
    issuer: issuer.href.replace(/\/$/, ''),
    authorization_endpoint: issuerUrl(issuer, '/oauth/authorize').href,
    token_endpoint: issuerUrl(issuer, '/oauth/token').href,
  }
}

/** Plain http is for an issuer on this machine; the settings allow no other. */
export const oauthTransport = (issuer: URL) => ({
  [allowInsecureRequests]: issuer.protocol === 'http:',
})
