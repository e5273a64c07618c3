// A certified OpenID provider for the tests: anybody may log in, with any password.
//
// The one argument is JSON:
// - `port`: 0 means a free one. The first line that begins with "http" names the issuer.
// - `client`: the metadata of the one client, as its registration would have them.
// - `accounts`: claims by the name that is typed at the log-in. They replace those that a name has
//   by itself: `email` (NAME@example.org) and `email_verified` (true). The name is the `sub`.
// - `in_id_token`: puts the address into the ID token. Otherwise only userinfo has it, as the
//   standard says.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

import { Provider } from 'oidc-provider';

const { port, client, accounts, in_id_token: inIdToken } = JSON.parse(process.argv[2]);
const server = createServer();
await new Promise((listening) => server.listen(port, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

// The keys are new at each start, and so are their ids.
const key = (kind, options, alg) => ({
  ...generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' }),
  alg,
  use: 'sig',
  kid: `${alg}-${randomBytes(4).toString('hex')}`,
});

const provider = new Provider(issuer, {
  clients: [client],
  jwks: {
    keys: [
      key('rsa', { modulusLength: 2048 }, 'RS256'),
      key('ec', { namedCurve: 'P-256' }, 'ES256'),
      key('ed25519', {}, 'EdDSA'),
    ],
  },
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'] },
  conformIdTokenClaims: !inIdToken,
  cookies: { keys: [randomBytes(32).toString('hex')] },
  features: {
    backchannelLogout: { enabled: true },
    devInteractions: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
  pkce: { required: () => true },
  // Its own guard refuses to call a loopback address, where the tests' sites are.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  findAccount: (_context, name) => {
    const claims = { email: `${name}@example.org`, email_verified: true, ...accounts[name] };
    return { accountId: name, claims: () => ({ ...claims, sub: name }) };
  },
});

// Its pages import a font, for which a browser without a network would wait, and lack what Chromium
// complains about.
provider.use(async (context, next) => {
  await next();
  if (typeof context.body === 'string') {
    context.body = context.body
      .replace(/@import url\([^)]*\);?/g, '')
      .replace('type="text"', 'type="text" autocomplete="username"')
      .replace('type="password"', 'type="password" autocomplete="current-password"');
  }
});
for (const event of ['server_error', 'grant.error', 'authorization.error', 'backchannel.error']) {
  provider.on(event, (_context, error) => console.error(event, error));
}

server.on('request', provider.callback());
console.log(issuer);
