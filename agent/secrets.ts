/**
 * What of metadata is a secret. Applications put passwords and tokens there (Spring Boot Admin asks for it);
 * they never leave the agent, not even when the operator lists their key.
 */

const secretKey =
  /passw|passphrase|\bpwd|pwd$|secret|token|credential|bearer|jwt|(?:^|[^a-z])auth(?:orization)?(?:$|[^a-z])|(?:api|access|private)[._-]?key|^user(?:[._-]?name)?$|(?:^|[^a-z])(?:pass|[as]k|signature|cookie)(?:$|[^a-z])/i;
const secretValue =
  /\/\/[^\s@]{0,256}@|(?:\bpass|passw(?:or)?d|pwd|secret(?:[._-]?key)?|token|(?:api|access)[._-]?key)["']?\s*[=:]|^(?:basic|bearer)\s+\S|^eyJ[\w-]+\.[\w-]+\.|-----BEGIN/i;

/** Whether the key names a secret. */
export function isSecretKey(key: string): boolean {
  return secretKey.test(key);
}

/** Whether the value looks like one: a URL with userinfo, `password=...`, credentials, a PEM block. */
export function isSecretValue(value: string): boolean {
  return secretValue.test(value);
}
