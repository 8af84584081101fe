// The default theme, and diagrams that are drawn in the browser.
import DefaultTheme from 'vitepress/theme';
import { h, nextTick, onMounted, watch } from 'vue';
import { useData, useRoute } from 'vitepress';
import './style.css';

async function draw(isDark) {
  const blocks = [...document.querySelectorAll('pre.mermaid')];
  if (blocks.length === 0) return;
  const { default: mermaid } = await import('mermaid');
  mermaid.initialize({ startOnLoad: false, theme: isDark ? 'dark' : 'neutral' });
  for (const block of blocks) {
    block.dataset.source ??= block.textContent;
    block.removeAttribute('data-processed');
    block.textContent = block.dataset.source;
  }
  await mermaid.run({ nodes: blocks });
}

/** Leads to the pages of another version. VitePress would put the folder of this one before a link of its own. */
const VersionLink = ({ text, href }) =>
  h('div', h('a', { class: 'version-link', href, target: '_self' }, text));
VersionLink.props = ['text', 'href'];

export default {
  extends: DefaultTheme,
  enhanceApp({ app }) {
    app.component('VersionLink', VersionLink);
  },
  setup() {
    const route = useRoute();
    const { isDark } = useData();
    const drawAll = () => nextTick(() => draw(isDark.value));
    onMounted(drawAll);
    watch([() => route.path, isDark], drawAll);
  },
};
