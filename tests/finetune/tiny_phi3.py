"""The shrunken Phi-3.5 of smallm.finetune.shrunken, under the name that the tests know."""

from smallm.finetune.shrunken import ADDED as ADDED
from smallm.finetune.shrunken import ASSISTANT as ASSISTANT
from smallm.finetune.shrunken import END as END
from smallm.finetune.shrunken import ENDOFTEXT as ENDOFTEXT
from smallm.finetune.shrunken import SPARE as SPARE
from smallm.finetune.shrunken import SYSTEM as SYSTEM
from smallm.finetune.shrunken import TEMPLATE as TEMPLATE
from smallm.finetune.shrunken import USER as USER
from smallm.finetune.shrunken import WINDOW as WINDOW
from smallm.finetune.shrunken import make_config as make_config
from smallm.finetune.shrunken import make_phi3 as make_phi3
from smallm.finetune.shrunken import make_tokenizer as make_tokenizer
