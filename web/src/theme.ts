import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from '@mantine/core';

const petrol: MantineColorsTuple = [
  '#e9f7f9',
  '#d3ecf0',
  '#a5d8e0',
  '#74c3cf',
  '#4eb1c1',
  '#37a6b8',
  '#279fb3',
  '#0e8296',
  '#0b7285',
  '#075f70',
];

export const theme = createTheme({
  primaryColor: 'petrol',
  primaryShade: { light: 8, dark: 7 },
  colors: { petrol },
  defaultRadius: 'md',
  fontFamily:
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  headings: {
    fontWeight: '650',
    sizes: { h1: { fontSize: '1.5rem', lineHeight: '1.3' }, h2: { fontSize: '1.125rem', lineHeight: '1.4' } },
  },
  components: {
    // Fields that may stay empty say so in their description; a star would become part of the label's text.
    // The description stands below, so that fields side by side stay in line.
    InputWrapper: {
      defaultProps: {
        withAsterisk: false,
        inputWrapperOrder: ['label', 'input', 'description', 'error'],
      },
    },
    // The light variant's own title colour is too pale on yellow.
    Alert: { defaultProps: { styles: { title: { color: 'var(--mantine-color-text)' } } } },
    Modal: { defaultProps: { centered: false, overlayProps: { backgroundOpacity: 0.45 } } },
    Tooltip: { defaultProps: { withArrow: true, openDelay: 300 } },
  },
});

/** The library's dimmed text is too pale to read for many; these keep 4.5:1 on all our backgrounds. */
export const cssVariables: CSSVariablesResolver = (current) => ({
  variables: {},
  light: { '--mantine-color-dimmed': current.colors.gray?.[7] ?? '#495057' },
  dark: { '--mantine-color-dimmed': current.colors.dark?.[1] ?? '#b8b8b8' },
});
