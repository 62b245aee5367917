import { type AuthorizationServer, allowInsecureRequests, type Client } from 'oauth4webapi'
import { CLIENT_ID } from './client-identity.ts'
import { issuerUrl } from './token-endpoint.ts'

/** Us, as the OAuth library knows a client. */
export const oauthClient: Client = { client_id: CLIENT_ID }

/** The issuer, as the OAuth library knows a server. */
export function oauthServer(issuer: URL): AuthorizationServer {
  return {
    issuer: issuer.href.replace(/\/$/, ''),
    authorization_endpoint: issuerUrl(issuer, '/oauth/authorize').href,
    token_endpoint: issuerUrl(issuer, '/oauth/token').href,
  }
}

/** Plain http is for an issuer of one's own on this machine; the settings allow no other. */
export const oauthTransport = (issuer: URL) => ({
  [allowInsecureRequests]: issuer.protocol === 'http:',
})
