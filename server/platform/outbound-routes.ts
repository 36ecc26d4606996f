/** Calls to that origin go elsewhere. */
export interface Route {
  readonly from: string;
  /** Without a slash at the end. */
  readonly to: string;
}

/** The value of `outbound.routes`. Throws an Error that says what is wrong with it. */
export function routesOf(texts: readonly string[]): Route[] {
  return texts.map((text) => {
    const [, from = '', to = ''] = /^(https?:\/\/[^=/]+)=(https?:\/\/\S+?)\/?$/.exec(text) ?? [];
    if (!URL.canParse(from) || !URL.canParse(to)) {
      throw new Error('must be of the form https://graph.facebook.com=http://proxy:8080/facebook');
    }
    return { from: new URL(from).origin, to };
  });
}

/** Where a call to that address goes. Throws a TypeError for what is no address. */
export function routed(address: string, routes: readonly Route[]): URL {
  const url = new URL(address);
  const route = routes.find(({ from }) => from === url.origin);
  return route === undefined ? url : new URL(route.to + url.pathname + url.search);
}
