/** `mcpListen` -> `--mcp-listen`. */
export function flagOf(key: string): string {
  return `--${dashed(key)}`;
}

/** `mcpListen` -> `TRIBUTARY_MCP_LISTEN`. */
export function environmentNameOf(key: string): string {
  return `TRIBUTARY_${fileKeyOf(key).toUpperCase()}`;
}

/** `mcpListen` -> `mcp_listen`. */
export function fileKeyOf(key: string): string {
  return dashed(key).replaceAll('-', '_');
}

/** `mcpListen` -> `mcp-listen`. */
export function dashed(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
