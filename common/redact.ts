/** Replaces `user:password@` in everything that looks like a URL or a connect string. */
export function redactUserinfo(text: string): string {
  return text.replaceAll(/\/\/[^/?#\s]*@/g, '//***@');
}
