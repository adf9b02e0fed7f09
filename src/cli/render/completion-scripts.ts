/**
 * What shells load to complete command lines of cairn. Each passes the words to the hidden command
 * `__complete`, whose answer is a line for each candidate, with a tab before its meaning, and a last
 * line that says what else to offer (`:files`, `:directories`, `:nothing`). It never prompts, and
 * whatever fails there offers nothing.
 */

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

// readline replaces only what stands behind the last = or : of a word, hence the prefix.
const BASH = String.raw`# bash completion for cairn
_cairn() {
  local words current typed prefix line also=
  COMPREPLY=()
  read -ra words <<< "\${COMP_LINE:0:COMP_POINT}"
  [[ "\${COMP_LINE:0:COMP_POINT}" == *[[:space:]] ]] && words+=("")
  current="\${words[\${#words[@]}-1]}"
  typed="\${COMP_WORDS[COMP_CWORD]}"
  [[ $typed == [=:] ]] && typed=
  prefix="\${current%"$typed"}"
  while IFS= read -r line; do
    case $line in
      :*) also=\${line#:} ;;
      *) line=\${line%%$'\t'*}; COMPREPLY+=("\${line#"$prefix"}") ;;
    esac
  done < <("\${words[0]/#\~\//$HOME/}" __complete -- "\${words[@]:1}" 2>/dev/null </dev/null)
  case $also in
    files) compopt -o default ;;
    directories) compopt -o dirnames ;;
  esac
}
complete -F _cairn cairn
`

const ZSH = String.raw`#compdef cairn
_cairn() {
  local line also= text
  local -a candidates
  while IFS= read -r line; do
    case $line in
      :*) also=\${line#:} ;;
      *)
        text=\${line%%$'\t'*}
        candidates+=("\${text//:/\\:}:\${line#*$'\t'}")
        ;;
    esac
  done < <("\${(Q)words[1]}" __complete -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null </dev/null)
  (( \${#candidates} )) && _describe cairn candidates
  [[ $PREFIX == -*=* && $also != nothing ]] && compset -P '*='
  case $also in
    files) _files ;;
    directories) _files -/ ;;
  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _cairn "$@"
else
  compdef _cairn cairn
fi
`

const FISH = String.raw`# fish completion for cairn
function __cairn_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  for line in ($words[1] __complete -- $words[2..-1] $current 2>/dev/null </dev/null)
    switch $line
      case ':files'
        __fish_complete_path $current
      case ':directories'
        __fish_complete_directories $current
      case ':*'
      case '*'
        echo -- $line
    end
  end
end
complete -c cairn -f -a '(__cairn_complete)'
`

/** `\${` in the texts above stands for `${`, which would end them. */
function unescape(text: string): string {
  return text.replaceAll('\\${', '${')
}

export const COMPLETION_SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: unescape(BASH),
  zsh: unescape(ZSH),
  fish: unescape(FISH),
}
