<?php
// upper.py for PHP: the body of a request, in capitals.
header('Content-Type: text/plain');
echo strtoupper(file_get_contents('php://input'));
