/** Replaces `user:password@` in everything that looks like a URL or a connect string. */
export function redactUserinfo(text: string): string {
  return text.replaceAll(/\/\/[^/?#\s]*@/g, '//***@');
}

/** The same for one address that is perhaps none: whatever stands before its last @ may be a secret. */
export function redactAddress(text: string): string {
  return text.replace(/^((?:[a-z][a-z0-9+.-]*:)?\/\/)?.*@/is, '$1***@');
}
