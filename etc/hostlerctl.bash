# Completion of hostlerctl(1) for bash. Verbs come from its own help, names of services from the
# daemon that the line names, if it answers at once.

_hostlerctl_ask()
{
	local i socket=()

	for ((i = 1; i + 1 < ${#COMP_WORDS[@]}; i++)); do
		[[ ${COMP_WORDS[i]} == --socket ]] && socket=(--socket "${COMP_WORDS[i + 1]}")
	done
	"${COMP_WORDS[0]}" "${socket[@]}" "$1" --json 2>/dev/null
}

_hostlerctl_services()
{
	_hostlerctl_ask services | sed -n 's/^      "name": "\([^"\\]*\)",*$/\1/p'
}

# Those that may be ended.
_hostlerctl_old()
{
	_hostlerctl_ask generations |
		sed -n '/"generation":/{N;s/.*: \([0-9]*\),\n.*"\(draining\|ending\)".*/\1/p;}'
}

_hostlerctl()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local verbs verb='' place=0 i choices=''

	COMPREPLY=()
	if [[ $before == --socket ]]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
	fi
	# The words before this one that are no options: which is the verb, and how many follow it.
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == --socket ]]; then
			((i++))
		elif [[ ${COMP_WORDS[i]} != -* ]]; then
			[[ -z $verb ]] && verb=${COMP_WORDS[i]}
			((place++))
		fi
	done
	verbs=$("${COMP_WORDS[0]}" --help 2>/dev/null | sed -n 's/^  \([a-z]*\)  .*/\1/p')
	if [[ $word == -* ]]; then
		choices='--socket --json --help'
		case $verb in
		'') choices+=' --version' ;;
		reload) choices+=' --dry-run' ;;
		stop) choices+=' --quick' ;;
		generations) choices+=' --now' ;;
		upgrade) choices+=' --binary' ;;
		esac
	else
		case $place:$verb in
		0:) choices="$verbs help" ;;
		1:help) choices=$verbs ;;
		1:verbose) choices='error warn info debug' ;;
		1:generations) choices=end ;;
		2:generations) choices=$(_hostlerctl_old) ;;
		1:scale) choices="workers $(_hostlerctl_services)" ;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
}

complete -F _hostlerctl hostlerctl
