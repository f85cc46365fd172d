import { ActionIcon, CopyButton } from '@mantine/core';
import { IconCheck, IconCopy } from '@tabler/icons-react';
import { lexer, type Token, type Tokens } from 'marked';
import { Fragment, memo, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import classes from './Markdown.module.css';
import { decodeEntities, safeHref } from './markdownText';

/**
 * Draws Markdown as React elements. No HTML is ever made from the text: tags in it are shown as they are
 * written, addresses are let through by scheme, and pictures stay links, so that an answer cannot make
 * the browser call an address by itself.
 *
 * While an answer streams in, only its last block changes; the blocks before it are not drawn again.
 */
export default function Markdown({ text }: { text: string }) {
  const blocks = lexer(text, { gfm: true, breaks: true });
  return (
    <div className={classes.body}>
      {blocks.map((token, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: blocks are only ever appended, so the place is the identity
        <Block key={index} raw={token.raw} token={token} />
      ))}
    </div>
  );
}

const Block = memo(
  function Block({ token }: { raw: string; token: Token }) {
    return draw(token);
  },
  (before, after) => before.raw === after.raw && before.token.type === after.token.type,
);

function drawAll(tokens: Token[] | undefined): ReactNode {
  // biome-ignore lint/suspicious/noArrayIndexKey: the tokens of one block have no other identity
  return tokens?.map((token, index) => <Fragment key={index}>{draw(token)}</Fragment>);
}

function draw(token: Token): ReactNode {
  switch (token.type) {
    case 'space':
    case 'def':
      return null;
    case 'heading': {
      const Heading = `h${Math.min(6, (token as Tokens.Heading).depth)}` as 'h1';
      return <Heading>{drawAll(token.tokens)}</Heading>;
    }
    case 'paragraph':
      return <p>{drawAll(token.tokens)}</p>;
    case 'blockquote':
      return <blockquote>{drawAll(token.tokens)}</blockquote>;
    case 'hr':
      return <hr />;
    case 'list':
      return <List list={token as Tokens.List} />;
    case 'table':
      return <DataTable table={token as Tokens.Table} />;
    case 'code':
      return <CodeBlock code={(token as Tokens.Code).text} language={(token as Tokens.Code).lang ?? ''} />;
    case 'strong':
      return <strong>{drawAll(token.tokens)}</strong>;
    case 'em':
      return <em>{drawAll(token.tokens)}</em>;
    case 'del':
      return <del>{drawAll(token.tokens)}</del>;
    case 'codespan':
      return <code>{(token as Tokens.Codespan).text}</code>;
    case 'br':
      return <br />;
    case 'checkbox':
      return (
        <input
          type="checkbox"
          disabled
          checked={(token as { checked?: boolean }).checked ?? false}
          readOnly
        />
      );
    case 'link':
    case 'image': {
      const { href, text } = token as Tokens.Link;
      const address = safeHref(href);
      const content = token.type === 'link' ? drawAll(token.tokens) : text || href;
      if (!address) return content;
      return (
        <a href={address} target="_blank" rel="noopener noreferrer nofollow">
          {content}
        </a>
      );
    }
    case 'escape':
      return (token as Tokens.Escape).text;
    case 'text':
      return 'tokens' in token && token.tokens
        ? drawAll(token.tokens)
        : decodeEntities((token as Tokens.Text).text);
    default:
      return token.raw;
  }
}

function List({ list }: { list: Tokens.List }) {
  const items = list.items.map((item, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: items are only ever appended
    <li key={index}>{drawAll(item.tokens)}</li>
  ));
  return list.ordered ? (
    <ol start={typeof list.start === 'number' ? list.start : 1}>{items}</ol>
  ) : (
    <ul>{items}</ul>
  );
}

function DataTable({ table }: { table: Tokens.Table }) {
  const cell = (entry: Tokens.TableCell, index: number, Cell: 'th' | 'td') => (
    <Cell key={index} style={{ textAlign: table.align[index] ?? 'left' }}>
      {drawAll(entry.tokens)}
    </Cell>
  );
  return (
    <div className={classes.tableWrap}>
      <table>
        <thead>
          <tr>{table.header.map((entry, index) => cell(entry, index, 'th'))}</tr>
        </thead>
        <tbody>
          {table.rows.map((row, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows are only ever appended
            <tr key={index}>{row.map((entry, column) => cell(entry, column, 'td'))}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function CodeBlock({ code, language }: { code: string; language: string }) {
  const { t } = useTranslation();
  return (
    <div className={classes.block}>
      <div className={classes.blockHead}>
        <span>{language.split(/\s/)[0]}</span>
        <CopyButton value={code}>
          {({ copied, copy }) => (
            <ActionIcon
              variant="subtle"
              color={copied ? 'teal' : 'gray'}
              size="sm"
              onClick={copy}
              aria-label={copied ? t('common.copied') : t('chat.copyCode')}
            >
              {copied ? <IconCheck size={14} /> : <IconCopy size={14} />}
            </ActionIcon>
          )}
        </CopyButton>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls has to be reachable by keyboard */}
      <pre tabIndex={0}>
        <code>{code}</code>
      </pre>
    </div>
  );
}
