// The configuration of VitePress, which `build.mjs` copies beside the pages.
import { readFileSync } from 'node:fs';

const { label, base, versions, sidebar } = JSON.parse(
  readFileSync(new URL('../site.json', import.meta.url), 'utf8'),
);

/** What a reader of the screen says of the button is what stands on it. */
const SEARCH = { button: { buttonText: 'Search', buttonAriaLabel: 'Search Ctrl K' } };

/** A component of the theme. @param {string} text @param {string} href */
function versionLink(text, href) {
  return { component: 'VersionLink', props: { text, href } };
}

/** A header without a text is no header: readers of the screen would announce it. */
function emptyHeaders(/** @type {{ tokens: any[] }} */ { tokens }) {
  for (const [at, token] of tokens.entries()) {
    if (token.type !== 'th_open' || tokens[at + 1]?.content.trim() !== '') continue;
    token.tag = tokens[at + 2].tag = 'td';
  }
}

export default {
  title: 'nestjs-service-auth',
  description: 'Signed REST calls between NestJS services',
  base,
  lang: 'en',
  lastUpdated: false,
  themeConfig: {
    search: { provider: 'local', options: { translations: SEARCH } },
    nav: [
      { text: 'Guides', link: '/guides' },
      { text: 'Reference', link: '/reference/' },
      { text: 'Protocol', link: '/protocol' },
      {
        text: label,
        items: [
          versionLink('next', '/'),
          ...versions.map((/** @type {string} */ minor) => versionLink(minor, `/${minor}/`)),
        ],
      },
    ],
    sidebar: [
      { text: 'Guides', items: sidebar },
      { text: 'Reference', link: '/reference/' },
    ],
    outline: [2, 3],
  },
  markdown: {
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
    config(/** @type {any} */ md) {
      const fence = md.renderer.rules.fence;
      md.renderer.rules.fence = (/** @type {any[]} */ ...args) => {
        const [tokens, at] = args;
        const { info, content } = tokens[at];
        if (info.trim() !== 'mermaid') return fence(...args);
        return `<pre class="mermaid" v-pre>${md.utils.escapeHtml(content)}</pre>`;
      };
      md.core.ruler.push('empty_headers', emptyHeaders);
    },
  },
};
